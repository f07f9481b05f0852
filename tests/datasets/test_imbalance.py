"""long_tail: the asked ratio, rows that stay in order, a test split that is left alone."""

import collections
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.utils import Bunch

from isonomy.datasets import count_classes, long_tail, make_biographies
from isonomy.errors import InvalidInputError, RatioNotReachedWarning
from reference.long_tail import largest_exact, size

datasets = pytest.importorskip("datasets")


def rows(have, *, n_test=7, n_validation=5, seed=0):
    """Columns with ``have[k]`` training rows of class k, shuffled among other splits."""
    label = [f"c{k}" for k, n in enumerate(have) for _ in range(n + n_test + n_validation)]
    split = [
        s for n in have for s in ["train"] * n + ["test"] * n_test + ["validation"] * n_validation
    ]
    order = np.random.RandomState(seed).permutation(len(label))
    return {
        "row": np.arange(len(label)),
        "label": np.array(label)[order],
        "split": np.array(split)[order],
    }


def sizes_of(data, split="train"):
    found = collections.Counter(
        label for label, s in zip(data["label"], data["split"], strict=True) if s == split
    )
    return sorted(found.values(), reverse=True)


counts = st.lists(st.integers(1, 60), min_size=2, max_size=9)
ratios = st.sampled_from([1, 1.5, 2, 3, 5, 10, 25])
profiles = st.sampled_from(["exp", "step"])


@given(have=counts, ratio=ratios, profile=profiles, head_share=st.sampled_from([0.2, 0.5, 0.9]))
def test_sizes_are_the_largest_long_tail_of_exactly_the_ratio(have, ratio, profile, head_share):
    expected = largest_exact(sorted(have, reverse=True), ratio, profile, head_share)
    data = rows(have)
    asked = {"profile": profile, "head_share": head_share, "random_state": 0}
    if expected is None:
        with pytest.warns(RatioNotReachedWarning, match=f"could not keep to ratio={ratio:g} for"):
            kept = long_tail(data, ratio, **asked)
        # every class keeps something, and none that could keep more of the same law is left out
        assert len(sizes_of(kept)) == len(have)
        return
    kept = long_tail(data, ratio, **asked)
    assert sizes_of(kept) == sorted(expected, reverse=True)
    largest, smallest = sizes_of(kept)[0], sizes_of(kept)[-1]
    assert abs(largest - smallest * ratio) <= 0.5  # 0 for a whole ratio


@given(have=counts, ratio=ratios, seed=st.integers(0, 3), keep_test=st.booleans())
@settings(max_examples=25)
def test_rows_that_stay_are_rows_that_were_in_their_order_and_test_is_whole(
    have, ratio, seed, keep_test
):
    data = rows(have, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RatioNotReachedWarning)
        kept = long_tail(data, ratio, keep_test=keep_test, random_state=seed)
    stayed = kept["row"]
    assert (np.diff(stayed) > 0).all()
    np.testing.assert_array_equal(kept["label"], data["label"][stayed])
    untouched = ["test"] if not keep_test else ["test", "validation"]
    for split in untouched:
        assert set(np.flatnonzero(data["split"] == split)) <= set(stayed)


@given(
    n=st.integers(20, 80),
    n_classes=st.integers(2, 6),
    profile=profiles,
    order=st.sampled_from(["count", "random", "named"]),
    seed=st.integers(0, 5),
)
@settings(max_examples=25)
def test_with_one_n_max_a_larger_ratio_keeps_some_of_the_rows_of_a_smaller_one(
    n, n_classes, profile, order, seed
):
    data = rows([n] * n_classes)
    if order == "named":
        order = [f"c{k}" for k in range(n_classes)][::-1]
    before = None
    for ratio in (1, 2, 5, 10, 20):
        kept = long_tail(data, ratio, n_max=20, profile=profile, order=order, random_state=seed)
        assert sizes_of(kept) == sorted(
            (size(k, n_classes, 20, ratio, profile) for k in range(n_classes)), reverse=True
        )
        assert before is None or set(kept["row"]) <= before
        before = set(kept["row"])


def test_known_answer_of_both_profiles():
    data = rows([100] * 5)
    assert sizes_of(long_tail(data, 16, n_max=96, random_state=0)) == [96, 48, 24, 12, 6]
    step = long_tail(data, 20, profile="step", head_share=0.4, random_state=0)
    assert sizes_of(step) == [100, 100, 5, 5, 5]
    assert sizes_of(long_tail(data, 1, random_state=0)) == [100] * 5


def test_same_seed_same_rows_other_seed_other_rows():
    data = rows([50, 50, 50])
    one, two, other = (long_tail(data, 10, random_state=seed)["row"] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert one.tolist() != other.tolist()


def test_order_by_count_keeps_the_natural_order_and_equal_counts_go_by_name():
    data = rows([30, 90, 30, 60])
    kept = long_tail(data, 3, random_state=0)
    found = count_classes(kept)
    assert sorted(found, key=lambda name: -found[name])[:2] == ["c1", "c3"]
    assert found["c0"] >= found["c2"]


def test_order_by_name_is_the_order_asked_for():
    data = rows([40, 40, 40])
    kept = long_tail(data, 4, order=["c2", "c0", "c1"], random_state=0)
    assert count_classes(kept) == {"c0": 20, "c1": 10, "c2": 40}


def test_a_random_order_is_drawn_from_the_seed():
    data = rows([40] * 6)
    orders = set()
    for seed in range(5):
        found = count_classes(long_tail(data, 8, order="random", random_state=seed))
        assert sorted(found.values())[-1] == 8 * sorted(found.values())[0] == 40
        orders.add(tuple(sorted(found, key=lambda name: found[name])))
    assert len(orders) > 1


def test_all_classes_shrink_together_where_one_lacks_rows():
    # the natural tail is far steeper than asked: the rarest class sets the scale
    data = rows([1_000, 500, 20])
    assert sizes_of(long_tail(data, 4, random_state=0)) == [80, 40, 20]
    # the middle class is the bottleneck: 40 rows are 4^-.5 of 80, and m = 20 fits
    assert sizes_of(long_tail(rows([300, 40, 300]), 4, random_state=0)) != [300, 150, 75]
    order = ["c0", "c1", "c2"]
    kept = long_tail(rows([300, 40, 300]), 4, order=order, random_state=0)
    assert count_classes(kept) == {"c0": 80, "c1": 40, "c2": 20}


def test_shortage_keep_keeps_what_there_is_and_says_the_ratio():
    with pytest.warns(RatioNotReachedWarning, match="keeps 100 rows and the smallest 2, a ratio"):
        kept = long_tail(rows([100, 20, 2]), 4, shortage="keep", random_state=0)
    assert sizes_of(kept) == [100, 20, 2]


def test_shortage_error_names_the_classes():
    message = r"too few rows of c1 \(20 of 50\), c2 \(2 of 25\) for ratio=4 with 100 rows"
    with pytest.raises(InvalidInputError, match=message):
        long_tail(rows([100, 20, 2]), 4, shortage="error")
    with pytest.raises(InvalidInputError, match=r"c0 \(10 of 30\).* Pass n_max=None"):
        long_tail(rows([10, 10]), 2, n_max=30)


def test_too_large_a_ratio_warns_with_the_ratio_reached():
    with pytest.warns(RatioNotReachedWarning, match="keeps 60 rows and the smallest 1, a ratio of"):
        kept = long_tail(rows([60, 60, 60]), 100, random_state=0)
    assert sizes_of(kept) == [60, 6, 1]
    with pytest.warns(RatioNotReachedWarning, match="the smallest 10, a ratio of 6"):
        long_tail(rows([60, 60, 60]), 30, min_rows=10, random_state=0)


def test_min_rows_are_granted_where_the_ratio_allows():
    kept = long_tail(rows([60, 60, 60]), 6, min_rows=10, random_state=0)
    assert sizes_of(kept)[-1] == 10
    with pytest.warns(RatioNotReachedWarning):
        kept = long_tail(rows([60, 30, 3]), 6, min_rows=10, random_state=0)
    assert sizes_of(kept)[-1] == 3


def test_validation_is_thinned_on_request_and_test_never():
    data = rows([40, 40], n_validation=20, n_test=20)
    kept = long_tail(data, 4, keep_test=False, order=["c1", "c0"], random_state=0)
    for split, expected in {
        "train": {"c0": 10, "c1": 40},
        "validation": {"c0": 5, "c1": 20},
        "test": {"c0": 20, "c1": 20},
    }.items():
        inside = kept["split"] == split
        assert collections.Counter(kept["label"][inside]) == expected
    whole = long_tail(data, 4, random_state=0)
    assert (whole["split"] == "validation").sum() == 40


def test_splits_of_other_names_are_never_thinned():
    data = {"label": ["a", "b"] * 30, "split": ["train"] * 40 + ["oos_test"] * 20}
    kept = long_tail(data, 4, keep_test=False, random_state=0)
    assert kept["split"].count("oos_test") == 20 and kept["split"].count("train") == 25


def _kinds():
    data = rows([24, 24, 24])
    plain = {name: column.tolist() for name, column in data.items()}
    codes = {**plain, "label": [int(name[1:]) for name in plain["label"]]}
    features = datasets.Features(
        {
            "row": datasets.Value("int64"),
            "label": datasets.ClassLabel(names=["c0", "c1", "c2"]),
            "split": datasets.Value("string"),
        }
    )
    return {
        "bunch": Bunch(**data, classes=["c0", "c1", "c2"], description="text", truth=object()),
        "bunch of codes": Bunch(**codes, classes=["c0", "c1", "c2"]),
        "dict of lists": plain,
        "pandas": pd.DataFrame(data, index=np.arange(len(data["row"])) + 1_000),
        "polars": pl.DataFrame(plain),
        "pyarrow": pa.table(plain),
        "datasets": datasets.Dataset.from_dict(plain),
        "datasets of codes": datasets.Dataset.from_dict(codes, features=features),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "bunch",
        "bunch of codes",
        "dict of lists",
        "pandas",
        "polars",
        "pyarrow",
        "datasets",
        "datasets of codes",
    ],
)
def test_every_kind_keeps_its_kind_and_the_same_rows(kind):
    data = _kinds()[kind]
    kept = long_tail(data, 4, random_state=0)
    assert type(kept) is type(data)
    expected = long_tail(rows([24, 24, 24]), 4, random_state=0)["row"].tolist()
    found = kept["row"]
    found = found.to_pylist() if kind == "pyarrow" else list(found)
    assert found == expected
    by_name = count_classes(kept)
    assert by_name == {"c0": 24, "c1": 12, "c2": 6}


def test_a_bunch_keeps_what_describes_it_and_columns_of_any_shape():
    data = _kinds()["bunch"]
    n = len(data.row)
    data.update(
        data=np.zeros((n, 2)),
        frame=pd.DataFrame({"x": range(n)}),
        texts=tuple("x" * n),
        columns={"x": np.arange(n)},
    )
    kept = long_tail(data, 4, random_state=0)
    m = len(kept.row)
    assert kept.classes is data.classes and kept.truth is data.truth
    assert kept.description == "text"
    assert kept.data.shape == (m, 2) and len(kept.frame) == len(kept.texts) == m
    np.testing.assert_array_equal(kept.columns["x"], kept.row)


def test_pandas_rows_keep_their_index():
    kept = long_tail(_kinds()["pandas"], 4, random_state=0)
    np.testing.assert_array_equal(kept.index, kept["row"] + 1_000)


def test_pairs_and_triples_have_no_splits():
    X, y = np.arange(120).reshape(60, 2), np.repeat([0, 1], 30)
    thin_X, thin_y = long_tail((X, y), 3, random_state=0)
    assert np.bincount(thin_y).tolist() == [30, 10]
    np.testing.assert_array_equal(thin_X[:, 0] // 2 >= 30, thin_y == 1)
    csr, _, groups = long_tail((sparse.csr_matrix(X), y, list("ab") * 30), 3, random_state=0)
    np.testing.assert_array_equal(csr.toarray(), thin_X)
    assert len(groups) == 40


def test_a_dictionary_of_splits_has_only_its_training_rows_thinned():
    data = rows([20, 20])
    parts = {
        split: datasets.Dataset.from_dict(
            {name: column[data["split"] == split].tolist() for name, column in data.items()}
        )
        for split in ("train", "validation", "test")
    }
    whole = datasets.DatasetDict(parts)
    kept = long_tail(whole, 4, random_state=0)
    assert isinstance(kept, datasets.DatasetDict) and list(kept) == list(whole)
    assert count_classes(kept) == {"c0": 20, "c1": 5}
    assert kept["test"] is whole["test"] and kept["validation"] is whole["validation"]
    frames = {split: part.to_pandas() for split, part in parts.items()}
    thin = long_tail(frames, 4, random_state=0)
    assert [len(frame) for frame in thin.values()] == [25, 10, 14]


def test_other_columns_and_no_split():
    data = make_biographies(400, tail=1.0, random_state=0)
    kept = long_tail(data, 2, label="occupation", random_state=0)
    found = count_classes(kept, label="occupation")
    assert max(found.values()) == 2 * min(found.values())
    assert len(kept.text) == len(kept.gender) == sum(found.values())
    everything = long_tail(rows([20, 20], n_test=10, n_validation=0), 3, split=None, random_state=0)
    assert len(everything["row"]) == 40


def test_the_shared_sets_reach_the_ratios_of_the_benchmark(shared_data):
    for path, label in {
        "banking77/banking77.csv.gz": "label",
        "trec/trec.csv.gz": "fine",
    }.items():
        data = pd.read_csv(shared_data / path, keep_default_na=False)
        for ratio in (10, 50):
            kept = long_tail(data, ratio, label=label, random_state=0)
            train = kept[kept["split"] == "train"][label].value_counts()
            assert train.max() == ratio * train.min()
            assert len(train) == data[data["split"] == "train"][label].nunique()
            assert (kept["split"] == "test").sum() == (data["split"] == "test").sum()


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        ("rows", {"ratio": 0.5}, r"`ratio` of `long_tail` must lie in \[1, 1e\+09\], got 0.5"),
        ("rows", {"ratio": "10"}, "`ratio` of `long_tail` must be a number, got '10'"),
        ("rows", {"profile": "linear"}, "`profile` of `long_tail` must be one of 'exp', 'step'"),
        ("rows", {"min_rows": 0}, "`min_rows` of `long_tail` must be a whole number of at least 1"),
        ("rows", {"n_max": 0}, "`n_max` of `long_tail` must be a whole number"),
        ("rows", {"head_share": 1.0}, "`head_share` of `long_tail` must lie between 0 and 1"),
        ("rows", {"shortage": "drop"}, "`shortage` of `long_tail` must be one of"),
        ("rows", {"order": "size"}, "`order` of `long_tail` must be one of 'count', 'random'"),
        ("rows", {"order": ["c0"]}, "all 2 classes, each once, got 1; wrong or missing: 'c1'"),
        ("rows", {"order": ["c0", "c0", "c1"]}, "each once, got 3; wrong or missing: 'c0'"),
        ("rows", {"label": "y"}, "`label` of `long_tail` must name a column .* got 'y'; it has"),
        ("rows", {"split": "part"}, "`split` of `long_tail` must name a column .* split=None"),
        ("one class", {}, "must have at least two classes for a ratio of 10, got only 'a'"),
        ("no train", {}, "must have rows whose split is 'train', got 'fit'"),
        ("zero rows", {}, "must have rows of every class, but b has none to keep"),
        ("outside", {}, "holds the label 'x', which is not among its 2 classes"),
        ("lists", {}, r"one label a row, got \[1, 2\] in the first"),
        ("missing", {}, "must have no missing labels, got 1 missing"),
        ("short column", {}, "`split` passed to `long_tail` must have as many rows as `label`"),
        (
            "text",
            {},
            "`dataset` passed to `long_tail` must be a Bunch or dict of columns.* got str",
        ),
        ("unequal pair", {}, r"`dataset\[0\]` passed to `long_tail` must have as many rows as `y`"),
    ],
)
def test_wrong_use_is_one_sentence(data, changes, message):
    made = {
        "rows": rows([20, 20]),
        "one class": {"label": ["a"] * 5},
        "no train": {"label": ["a", "b"], "split": ["fit", "fit"]},
        "zero rows": Bunch(label=["a"] * 20, classes=["a", "b"]),
        "outside": Bunch(label=["a", "x"], classes=["a", "b"]),
        "lists": {"label": [[1, 2], [3]]},
        "missing": {"label": ["a", None, "b"]},
        "short column": {"label": ["a", "b"], "split": ["train"]},
        "text": "banking77",
        "unequal pair": (np.zeros((3, 2)), [0, 1]),
    }[data]
    with pytest.raises(InvalidInputError, match=message):
        long_tail(made, **{"ratio": 10, **changes})


def test_a_class_without_rows_may_stay_without():
    data = Bunch(label=["a"] * 20, classes=["a", "b"])
    with pytest.warns(RatioNotReachedWarning, match="a ratio of infinite"):
        kept = long_tail(data, 4, shortage="keep", random_state=0)
    assert len(kept.label) == 20 and count_classes(kept) == {"a": 20, "b": 0}


def test_a_list_of_names_as_long_as_the_data_is_no_column():
    data = Bunch(label=["a", "a", "b"], classes=["a", "b"], feature_names=["x", "y", "z"])
    kept = long_tail(data, 1, random_state=0)
    assert sorted(kept.label) == ["a", "b"] and kept.feature_names == ["x", "y", "z"]
