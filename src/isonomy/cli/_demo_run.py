"""The demonstration: generated biographies, every method on one split, one report."""

from __future__ import annotations

import shlex
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from isonomy.cli._split import split_by_cell
from isonomy.cli.progress import Report
from isonomy.comparison import compare_methods
from isonomy.datasets import make_biographies

__all__ = ["MAIN_METHOD", "METHODS", "compare_on_biographies"]

METHODS = (
    "untouched",
    "reweighing",
    "mean_matching",
    "leace",
    "mimic",
    "ideal_blind",
    "ideal_given",
    "calibrated",
    "calibrated_inferred",
)
MAIN_METHOD = "ideal_given"
"""Chosen on other seeds and on real biographies, not on this split: see docs/measurements.md."""

N_FEATURES = 128
TEST_SIZE = 0.3


def compare_on_biographies(
    *, n_rows: int, bias: float, random_state: int, progress: Report
) -> dict[str, Any]:
    """Return the comparison of all methods on ``make_biographies``."""
    n_steps = len(METHODS) + 2
    progress("writing biographies", 0, n_steps)
    data = make_biographies(n_rows, bias=bias, random_state=random_state)
    train, test = split_by_cell(
        data.occupation, data.gender, test_size=TEST_SIZE, random_state=random_state
    )
    progress("TF-IDF and truncated SVD", 1, n_steps)
    X_train, X_test = _features(data.text[train], data.text[test], random_state)
    settings = ["--rows", n_rows, "--random-state", random_state, "--bias", bias]
    command = shlex.join(["isonomy", "demo", *map(str, settings)])
    return compare_methods(
        X_train,
        data.occupation[train],
        data.gender[train],
        X_test,
        data.occupation[test],
        data.gender[test],
        estimator=LogisticRegression(max_iter=1000),
        methods=METHODS,
        main_method=MAIN_METHOD,
        random_state=random_state,
        progress=lambda text, done, total: progress(text, done + 2, total + 2),
        title="Generated biographies, before and after steering",
        question=(
            "A classifier reads a short biography and names the occupation. Does it find the "
            "members of every occupation equally often among women and among men?"
        ),
        data={
            "name": "make_biographies",
            "description": (
                f"{n_rows} biographies written by isonomy's own generator, of 28 occupations "
                f"with a long tail and a planted gender bias (bias={bias:g}) in wording, priors "
                "and noise; no person is described. Features: TF-IDF reduced to "
                f"{X_train.shape[1]} by truncated SVD, fitted on the training rows."
            ),
        },
        created_by={"command": command, "random_state": random_state},
        reproduce={"command": command, "python": []},
    )


def _features(
    train: NDArray[Any], test: NDArray[Any], random_state: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    words = TfidfVectorizer(sublinear_tf=True, min_df=2)
    n_words = words.fit_transform(train).shape[1]
    # a handful of rows may have fewer words than we want features
    svd = TruncatedSVD(min(N_FEATURES, n_words - 1), random_state=random_state)
    reduce = make_pipeline(words, svd)
    return reduce.fit_transform(train), reduce.transform(test)
