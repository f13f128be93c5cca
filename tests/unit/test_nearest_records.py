import numpy as np
import pandas as pd

from detector.records.nearest_records import joint_points, nearest_records
from tests.api_service import trained
from tests.samples import make_records


def test_a_training_record_is_nearest_to_itself_with_the_values_that_it_had():
    model, records = trained().model, make_records(600).iloc[:400]
    record = records.iloc[[7]]
    own, other = nearest_records(model, record, 2)
    assert own.distance < 1e-4 < other.distance
    assert own.values["mode"] == record["mode"].iloc[0]
    assert np.isclose(own.values["flow"], record["flow"].iloc[0], rtol=1e-4)


def test_the_nearest_records_are_those_of_the_smallest_distances():
    model = trained().model
    record = pd.concat([make_records(1, seed=9)] * 2)
    points = joint_points(model, record)
    distances = np.linalg.norm(model.reference.points.astype(float) - points[:1], axis=1)
    found = [near.distance for near in nearest_records(model, record.head(1), 5)]
    assert np.allclose(found, np.sort(distances)[:5])
