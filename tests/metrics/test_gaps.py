"""``tpr_gap`` and ``rms_tpr_gap``: oracle, laws, known answers, wrong input."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.errors import InvalidInputError, UndefinedRateWarning
from isonomy.metrics import rms_tpr_gap, tpr_gap
from isonomy.metrics._gap_statistics import corrected_mean_square
from reference import rates as naive

CLASSES = ("cook", "judge", "nurse")


def make_rows(seed, n=200, groups=("f", "m"), classes=CLASSES):
    """Rows in which every class has at least three rows in every group."""
    rng = np.random.default_rng(seed)
    y = np.r_[np.repeat(classes, 3 * len(groups)), rng.choice(classes, n)]
    g = np.r_[np.tile(groups, 3 * len(classes)), rng.choice(groups, n)]
    p = np.where(rng.random(len(y)) < 0.6, y, rng.choice(classes, len(y)))
    return y, p, g


seeds = st.integers(0, 2**32 - 1)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_tpr_gap_is_the_difference_of_counted_rates(seed):
    y, p, g = make_rows(seed)
    rate = naive.conditional(y, p, g)
    gaps = tpr_gap(y, p, sensitive_features=g, reference_group="m")
    assert list(gaps) == list(CLASSES)
    for label in CLASSES:
        assert gaps[label] == pytest.approx(rate[label, label, "f"] - rate[label, label, "m"])
    assert np.asarray(gaps) == pytest.approx([gaps[label] for label in CLASSES])


@given(seeds, st.sampled_from(["equal", "precision"]), st.booleans(), st.sampled_from([2, 4]))
@settings(max_examples=40, deadline=None)
def test_rms_gap_agrees_with_loops(seed, weighting, corrected, n_groups):
    y, p, g = make_rows(seed, groups=tuple("abcd"[:n_groups]))
    found = rms_tpr_gap(y, p, sensitive_features=g, weighting=weighting, corrected=corrected)
    expected = naive.rms_gap(y, p, g, weighting=weighting, corrected=corrected)
    assert found == pytest.approx(expected, abs=1e-12)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_gaps_do_not_depend_on_the_order_of_rows(seed):
    y, p, g = make_rows(seed)
    order = np.random.default_rng(seed).permutation(len(y))
    first = tpr_gap(y, p, sensitive_features=g)
    second = tpr_gap(y[order], p[order], sensitive_features=g[order])
    assert np.array_equal(np.asarray(first), np.asarray(second))


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_exchanging_two_groups_flips_every_sign(seed):
    y, p, g = make_rows(seed)
    gaps = tpr_gap(y, p, sensitive_features=g, reference_group="m")
    flipped = tpr_gap(y, p, sensitive_features=g, reference_group="f")
    assert np.asarray(gaps) == pytest.approx(-np.asarray(flipped))
    renamed = np.where(g == "m", "f", "m")
    swapped = tpr_gap(y, p, sensitive_features=renamed, reference_group="m")
    assert np.asarray(gaps) == pytest.approx(-np.asarray(swapped))


@given(seeds, st.sampled_from(["equal", "precision"]))
@settings(max_examples=20, deadline=None)
def test_integer_weights_equal_repeated_rows(seed, weighting):
    y, p, g = make_rows(seed, n=40)
    w = np.random.default_rng(seed).integers(0, 4, len(y))
    w[: 3 * 2 * 3] = 1  # keep every cell
    again = [np.repeat(v, w) for v in (y, p, g)]
    weighted = rms_tpr_gap(y, p, sensitive_features=g, weighting=weighting, sample_weight=w)
    repeated = rms_tpr_gap(again[0], again[1], sensitive_features=again[2], weighting=weighting)
    assert weighted == pytest.approx(repeated, abs=1e-12)


def test_corrected_gap_with_weights_is_free_of_their_scale():
    y, p, g = make_rows(3)
    w = np.random.default_rng(3).random(len(y)) + 0.1
    first = rms_tpr_gap(y, p, sensitive_features=g, corrected=True, sample_weight=w)
    second = rms_tpr_gap(y, p, sensitive_features=g, corrected=True, sample_weight=1000 * w)
    assert first == pytest.approx(second)
    equal = rms_tpr_gap(
        y, p, sensitive_features=g, corrected=True, sample_weight=np.full(len(y), 7)
    )
    assert equal == pytest.approx(rms_tpr_gap(y, p, sensitive_features=g, corrected=True))


@pytest.mark.parametrize(("n_0", "n_1"), [(2, 2), (2, 5), (4, 3)])
@pytest.mark.parametrize(("p_0", "p_1"), [(0.5, 0.5), (0.9, 0.2), (0.0, 0.3)])
def test_corrected_mean_square_has_the_true_mean_square_as_its_expectation(n_0, n_1, p_0, p_1):
    # the expectation itself: every outcome of the two binomials with its probability
    from scipy.stats import binom

    expected = 0.0
    for k_0, k_1 in product(range(n_0 + 1), range(n_1 + 1)):
        chance = binom.pmf(k_0, n_0, p_0) * binom.pmf(k_1, n_1, p_1)
        seen = np.array([[k_0 / n_0, k_1 / n_1]])
        n = np.array([[n_0, n_1]], dtype=float)
        expected += chance * corrected_mean_square(seen, n, np.ones(1), (0, 1))
    assert expected == pytest.approx((p_0 - p_1) ** 2, abs=1e-12)


def test_a_cell_of_fewer_than_two_effective_rows_is_left_out_of_the_correction():
    # Kish's size of the weights (1, 3) is 1.6, so class 1 has no estimate of its variance
    y, p, g = [1, 1, 1, 1, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0, 0, 0], list("aabbaabb")
    with pytest.warns(UndefinedRateWarning, match=r"\(1, a\): fewer than 2 rows"):
        found = rms_tpr_gap(
            y, p, sensitive_features=g, sample_weight=[1, 3, 1, 1, 1, 1, 1, 1], corrected=True
        )
    assert found == 0


def test_weighted_correction_is_exact_when_effective_sizes_suffice():
    from isonomy.metrics import confusion_counts
    from isonomy.metrics._gap_statistics import cell_rates

    weights = np.array([1.0, 1.0, 2.0, 1.0, 1.5, 1.0])
    group = np.array(list("aaabbb"))
    chance = np.where(group == "a", 0.7, 0.4)
    total = 0.0
    for right in product([0, 1], repeat=6):
        p = np.prod(np.where(right, chance, 1 - chance))
        counts = confusion_counts(
            np.ones(6, int), right, sensitive_features=group, sample_weight=weights
        )
        cells = cell_rates(counts)
        total += p * float(corrected_mean_square(cells.rates, cells.n, np.ones(1), (0, 1)))
    assert total == pytest.approx(0.3**2)


def test_known_answer():
    y = ["x"] * 8 + ["z"] * 8
    g = ["a", "b"] * 8
    p = ["x", "x", "x", "z", "x", "z", "x", "z"] + ["z"] * 8
    # class x: group a 4 of 4, group b 1 of 4; class z: no errors
    gaps = tpr_gap(y, p, sensitive_features=g, reference_group="b")
    assert dict(gaps) == {"x": 0.75, "z": 0.0}
    assert rms_tpr_gap(y, p, sensitive_features=g) == pytest.approx(np.sqrt(0.75**2 / 2))
    corrected = rms_tpr_gap(y, p, sensitive_features=g, corrected=True)
    assert corrected == pytest.approx(np.sqrt((0.75**2 - 0.25 * 0.75 / 3) / 2))


def test_corrected_gap_is_negative_below_its_noise():
    y, g = [0, 0, 0, 0, 1, 1, 1, 1], list("aabbaabb")
    p = [0, 1, 0, 1, 1, 1, 1, 1]
    assert rms_tpr_gap(y, p, sensitive_features=g, corrected=True) == pytest.approx(-0.5)


def test_reference_is_the_largest_group_and_ties_take_the_first():
    y, p = [1, 0] * 5, [1, 0] * 5
    gaps = tpr_gap(y, p, sensitive_features=list("bbbbbbaaaa"))
    assert gaps.reference_group == "b"
    assert tpr_gap(y[:8], p[:8], sensitive_features=list("bbbbaaaa")).reference_group == "a"


def test_three_groups_give_the_one_farthest_from_the_reference():
    y, g = [1] * 12, ["a"] * 6 + ["b"] * 3 + ["c"] * 3
    p = [1] * 6 + [1, 1, 0] + [0, 0, 1]
    gaps = tpr_gap(y, p, sensitive_features=g)
    assert gaps[1] == pytest.approx(-2 / 3)
    assert gaps.farthest == ("c",)
    assert gaps.by_group["b"] == pytest.approx([-1 / 3])
    assert rms_tpr_gap(y, p, sensitive_features=g, reference_group="b") == pytest.approx(1 / 3)


def test_a_class_missing_in_a_group_is_nan_and_named():
    y, p, g = [0, 1, 1, 2], [0, 1, 1, 2], list("abab")
    with pytest.warns(UndefinedRateWarning, match=r"\(0, b\), \(2, a\).*no rows of this class"):
        gaps = tpr_gap(y, p, sensitive_features=g)
    assert np.isnan(gaps[0])
    assert gaps[1] == 0
    with pytest.warns(UndefinedRateWarning):
        assert rms_tpr_gap(y, p, sensitive_features=g) == 0


def test_no_class_in_common_is_nan():
    with pytest.warns(UndefinedRateWarning):
        assert np.isnan(rms_tpr_gap([0, 1], [0, 1], sensitive_features=["a", "b"]))


def test_a_label_only_predicted_has_no_gap():
    gaps = tpr_gap([0, 1, 0, 1], [0, 9, 0, 1], sensitive_features=list("aabb"))
    assert list(gaps) == [0, 1]
    assert abs(gaps[1]) == 1


@pytest.mark.parametrize("kind", [np.array, list, lambda v: np.array(v, dtype=object)])
def test_labels_of_any_kind_give_the_same(kind):
    y, p, g = make_rows(5)
    codes = {c: i for i, c in enumerate(CLASSES)}
    expected = rms_tpr_gap([codes[v] for v in y], [codes[v] for v in p], sensitive_features=g)
    assert rms_tpr_gap(kind(y.tolist()), kind(p.tolist()), sensitive_features=g) == expected
    assert rms_tpr_gap(
        [codes[v] / 1 for v in y], [codes[v] for v in p], sensitive_features=g
    ) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"y_pred": [0, 1]}, "`y_pred` passed to `rms_tpr_gap` must have as many rows"),
        ({"sensitive_features": ["a"] * 4}, "at least 2 groups"),
        ({"sensitive_features": ["a", "b"]}, "`sensitive_features` .* as many rows"),
        ({"y_true": [0.5, 0.2, 0.1, 0.7]}, "fractional numbers"),
        ({"y_true": [], "y_pred": [], "sensitive_features": []}, "at least one row"),
        ({"y_pred": ["0", "1", "0", "1"]}, "same kind"),
        ({"y_pred": [0, 1, None, 1]}, "missing labels"),
        ({"weighting": "size"}, "`weighting` of `rms_tpr_gap` must be one of"),
        ({"reference_group": "z"}, "`reference_group` of `rms_tpr_gap` must be one of"),
        ({"sample_weight": [1, -1, 1, 1]}, "`sample_weight`"),
    ],
)
def test_wrong_input_is_one_clear_sentence(kwargs, message):
    good = {
        "y_true": [0, 1, 0, 1],
        "y_pred": [0, 1, 1, 1],
        "sensitive_features": ["a", "a", "b", "b"],
    }
    call = {**good, **kwargs}
    with pytest.raises(InvalidInputError, match=message):
        rms_tpr_gap(call.pop("y_true"), call.pop("y_pred"), **call)
