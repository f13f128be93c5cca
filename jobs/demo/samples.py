"""The demo's real table: labelled records that scikit-learn includes."""

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer


def breast_cancer() -> pd.DataFrame:
    """Load the Wisconsin diagnostic breast-cancer records (569, 30 features), shuffled, with `id` and `is_malignant`.

    >>> breast_cancer()["is_malignant"].value_counts().to_dict()
    {0: 357, 1: 212}
    """
    loaded: pd.DataFrame = load_breast_cancer(as_frame=True).frame
    frame = loaded.drop(columns="target").rename(columns=lambda name: name.replace(" ", "_"))
    frame["is_malignant"] = 1 - loaded["target"]  # scikit-learn encodes benign as 1
    shuffled = frame.sample(frac=1, random_state=0).reset_index(drop=True)
    shuffled.insert(0, "id", np.arange(1, len(shuffled) + 1))
    return shuffled
