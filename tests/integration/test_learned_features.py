"""Changed features wait for the next training: until then records are scored as the champion learned."""

from jobs.evaluation import forecast_monitor
from jobs.scoring.learned_features import learned_features
from jobs.store import EventQuery
from schemas.frames import Features
from schemas.tables import models

RECORDS = {"series": None, "boolean": [], "model": {"members": 1, "steps": 20}}
OLD = RECORDS | {"numeric": ["torque", "speed"]}
NEW = RECORDS | {"numeric": ["torque", "load"], "boolean": ["is_open"]}
OTHER_TYPE = RECORDS | {"numeric": ["torque"], "categorical": ["speed"]}


def events(mixer):
    query = EventQuery("mixer", "features_changed")
    return [(event.message, event.until is None) for event in reversed(mixer.store.events.page(query))]


def test_records_are_scored_with_the_champions_columns_until_the_next_training(mixer):
    mixer.train(**OLD)
    mixer.score(**OLD)
    before = mixer.scores()
    for changed in (NEW, OTHER_TYPE):
        mixer.store.recounting.reopen_window("mixer", *everything(mixer))
        assert mixer.score(**changed).rescored == 1
        assert mixer.scores() == before
    ((message, is_ongoing),) = events(mixer)
    assert is_ongoing
    assert "config.toml now adds load, is_open and leaves out speed for monitor 'mixer'." in message
    assert "with the columns that model 1 learned: plumbline train mixer" in message
    assert forecast_monitor(mixer.source(**NEW), mixer.store) == forecast_monitor(mixer.source(**OLD), mixer.store)
    mixer.train(**NEW)
    mixer.store.recounting.reopen_window("mixer", *everything(mixer))
    mixer.score(**NEW)
    assert events(mixer) == [(message, False)]
    assert mixer.scores() != before


def everything(mixer):
    scored_until = mixer.store.ledger.scored_until("mixer")
    return scored_until.replace(year=2000), scored_until.replace(year=2100)


def test_a_change_of_a_feature_to_another_type_is_reported_and_a_change_of_order_is_none(mixer):
    mixer.train(**OLD)
    mixer.score(**RECORDS, numeric=["speed", "torque"])
    assert events(mixer) == []
    mixer.score(**OTHER_TYPE)
    assert "lists features of other types for monitor 'mixer'" in events(mixer)[0][0]


def test_a_series_keeps_its_channels(mixer):
    mixer.train()
    mixer.score()
    before = mixer.scores()
    mixer.store.recounting.reopen_window("mixer", *everything(mixer))
    mixer.score(numeric=["torque", "speed"], boolean=[])
    assert mixer.scores() == before
    assert "leaves out load, is_open" in events(mixer)[0][0]


def test_a_model_of_an_earlier_version_is_read_in_the_types_of_the_configuration(mixer):
    mixer.train(**NEW)
    with mixer.store.engine.begin() as connection:
        model = mixer.store.models.get(1)
        manifest = {name: value for name, value in model.manifest.items() if name not in {"features", "held_out"}}
        connection.execute(models.update().values(manifest=manifest))
    learned = learned_features(mixer.store, 1, mixer.source(**(RECORDS | {"numeric": ["load"]})).monitor)
    assert learned == Features(numeric=("torque", "load"), boolean=("is_open",))
