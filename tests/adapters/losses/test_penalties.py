"""Penalties: D and its gradient are those of the literal formula over the whole data set."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from isonomy.adapters.losses import (
    class_groups,
    demographic_parity_penalty,
    equal_opportunity_penalty,
    equity_penalty,
    gap_penalty,
    group_dro,
    level_penalty,
    running_means,
)
from isonomy.errors import GroupsRequiredError, InvalidInputError
from reference import class_losses as oracle

K, G, N = 4, 3, 24
LOW = np.array([False, True, False, True])
SPLIT = class_groups({"a": 9, "b": 1, "c": 9, "d": 1}, rule="names", unprivileged=["b", "d"])


def data(seed, *, multi=False, missing=None, n=N):
    """Logits, labels and groups; some rows lack a label, some a group; a class may be missing."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(n, K))
    if multi:
        y = rng.integers(0, 2, (n, K))
        y[0, :], y[1, 1] = -100, -100
        if missing is not None:
            y[:, missing] = 0
    else:
        y = rng.choice(K, n, p=[0.4, 0.1, 0.3, 0.2])
        y[0] = -100
        if missing is not None:
            y[y == missing] = (missing + 1) % K
    a = rng.integers(-1, G, n)
    return z, y, a


class Case:
    """One penalty with its literal D and how both are called."""

    def __init__(self, kind, function, literal, *, multi=False, grouped=False, **settings):
        self.kind, self.function, self.literal = kind, function, literal
        self.multi, self.grouped, self.settings = multi, grouped, settings

    def statistics(self, y):
        counts = [1.0] * K if self.multi else np.bincount(y[y >= 0], minlength=K).astype(float)
        groups = G if self.grouped else None
        means = partial(running_means, class_counts=counts, groups=groups)
        return means(self.kind, multi_label=self.multi)

    def rows(self, z, y, a, statistics, **settings):
        more = (torch.as_tensor(a),) if self.grouped else ()
        return self.function(
            z, torch.as_tensor(y), *more, statistics=statistics, **self.settings, **settings
        )

    def observe(self, statistics, z, y, a):
        groups = torch.as_tensor(a) if self.grouped else None
        statistics.observe(torch.as_tensor(z), torch.as_tensor(y), groups)

    def value(self, z, y, a):
        return self.literal(z, y, a) if self.grouped else self.literal(z, y)


SPLIT_OF = {"class_groups": SPLIT}
CASES = {
    "equity": Case(
        "equity",
        equity_penalty,
        partial(oracle.equity, unprivileged=LOW, margin_weight=0.7, histogram_weight=1.9),
        margin_weight=0.7,
        histogram_weight=1.9,
        **SPLIT_OF,
    ),
    "equity multi-label": Case(
        "equity",
        equity_penalty,
        partial(oracle.equity_multi_label, unprivileged=LOW),
        multi=True,
        **SPLIT_OF,
    ),
    "level": Case("label_balance", level_penalty, oracle.level),
    "level multi-label": Case("label_balance", level_penalty, oracle.level, multi=True),
    "gap": Case("label_balance", gap_penalty, oracle.gap),
    "gap multi-label": Case("label_balance", gap_penalty, oracle.gap, multi=True),
    "parity": Case(
        "demographic_parity", demographic_parity_penalty, oracle.demographic_parity, grouped=True
    ),
    "parity multi-label": Case(
        "demographic_parity",
        demographic_parity_penalty,
        partial(oracle.demographic_parity, multi_label=True),
        multi=True,
        grouped=True,
    ),
    "opportunity": Case(
        "equal_opportunity", equal_opportunity_penalty, oracle.equal_opportunity, grouped=True
    ),
    "opportunity multi-label": Case(
        "equal_opportunity",
        equal_opportunity_penalty,
        partial(oracle.equal_opportunity, multi_label=True),
        multi=True,
        grouped=True,
    ),
}
each_case = pytest.mark.parametrize("name", CASES)


def known_rows(y):
    return int((y >= 0).any(axis=1).sum() if y.ndim == 2 else (y >= 0).sum())


@each_case
@pytest.mark.parametrize("missing", [None, 1], ids=["all classes", "one class missing"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_value_and_gradient_are_those_of_the_whole_data_set(name, missing, seed):
    """The law of the linearisation: s the means of the batch, pi its shares, no cap."""
    case = CASES[name]
    z, y, a = data(seed, multi=case.multi, missing=missing)
    statistics = case.statistics(y)
    case.observe(statistics, z, y, a)
    statistics.commit()
    logits = torch.tensor(z, requires_grad=True)
    mean = case.rows(logits, y, a, statistics, max_weight=None).sum() / known_rows(y)
    assert float(mean.detach()) == pytest.approx(case.value(z, y, a), rel=1e-9)
    (gradient,) = torch.autograd.grad(mean, logits)
    expected = oracle.slope(lambda moved: case.value(moved, y, a), z)
    # central differences with step 1e-6 of values near 10 carry an error near 1e-9
    np.testing.assert_allclose(gradient, expected, atol=3e-8)


@each_case
@examples(max_examples=10)
@given(seed=st.integers(0, 10_000), cut=st.integers(0, N))
def test_micro_batches_and_processes_give_the_whole(name, seed, cut):
    case = CASES[name]
    z, y, a = data(seed, multi=case.multi)
    whole, pieces, other = (case.statistics(y) for _ in range(3))
    case.observe(whole, z, y, a)
    case.observe(pieces, z[:cut], y[:cut], a[:cut])
    case.observe(other, z[cut:], y[cut:], a[cut:])
    total = pieces.pending() + other.pending()
    case.observe(pieces, z[cut:], y[cut:], a[cut:])
    for statistics, sums in ((whole, None), (pieces, None), (other, total)):
        statistics.commit(sums)
        assert (statistics.pending() == 0).all()
        for key, value in statistics.state_dict().items():
            np.testing.assert_allclose(value, whole[key], rtol=1e-12, atol=1e-12)
    rows = case.rows(torch.tensor(z), y, a, whole)
    parts = [
        case.rows(torch.tensor(z[i:j]), y[i:j], a[i:j], whole) for i, j in ((0, cut), (cut, N))
    ]
    np.testing.assert_allclose(torch.cat(parts), rows, rtol=1e-11, atol=1e-14)


@each_case
def test_statistics_move_at_commit_alone(name):
    case = CASES[name]
    z, y, a = data(3, multi=case.multi)
    statistics = case.statistics(y)
    case.observe(statistics, z, y, a)
    assert (case.rows(torch.tensor(z), y, a, statistics) == 0).all()  # nothing is known yet
    statistics.commit()
    before = case.rows(torch.tensor(z), y, a, statistics)
    case.observe(statistics, -z, y, a)
    assert torch.equal(case.rows(torch.tensor(z), y, a, statistics), before)
    statistics.commit()
    assert not torch.equal(case.rows(torch.tensor(z), y, a, statistics), before)


@each_case
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("scale", [1.0, 1e4, 0.0])
@pytest.mark.parametrize("n", [1, 5])
def test_penalties_are_finite_for_any_logits_and_one_row(name, dtype, scale, n):
    case = CASES[name]
    z, y, a = data(4, multi=case.multi, n=n + 1)
    statistics = case.statistics(y)
    for start in (slice(1, 2), slice(0, None)):
        logits = (scale * torch.tensor(z)).to(dtype)[start].requires_grad_(True)
        value = case.rows(logits, y[start], a[start], statistics)
        assert value.dtype == torch.float32
        value.sum().backward()
        assert torch.isfinite(value).all() and torch.isfinite(logits.grad).all()
        case.observe(statistics, logits.detach(), y[start], a[start])
        statistics.commit()
        assert torch.isfinite(statistics.means).all()


@each_case
def test_per_sample_gradients_are_those_of_finite_differences(name):
    case = CASES[name]
    z, y, a = data(5, multi=case.multi, n=6)
    statistics = case.statistics(y)
    case.observe(statistics, z, y, a)
    statistics.commit()
    logits = torch.tensor(z[::-1].copy(), requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: case.rows(v, y, a, statistics), logits)


@each_case
def test_half_precision_gives_what_its_values_give_in_full(name):
    case = CASES[name]
    z, y, a = data(6, multi=case.multi)
    half = torch.tensor(z).to(torch.bfloat16)
    statistics = case.statistics(y)
    case.observe(statistics, half, y, a)
    statistics.commit()
    np.testing.assert_allclose(
        case.rows(half, y, a, statistics),
        case.rows(half.double(), y, a, statistics),
        rtol=1e-4,
        atol=1e-5,
    )


@each_case
def test_a_nan_step_leaves_the_means_alone(name):
    case = CASES[name]
    z, y, a = data(7, multi=case.multi)
    statistics = case.statistics(y)
    case.observe(statistics, z, y, a)
    statistics.commit()
    before = statistics.means
    case.observe(statistics, np.full_like(z, np.nan), y, a)
    statistics.commit()
    np.testing.assert_array_equal(statistics.means, before)


def two_steps(max_weight, share):
    """The weights with which rows of a rare label pull, for one cap."""
    counts = [1000 - share, share]
    split = class_groups(counts)
    means = running_means("equity", class_counts=counts)
    z, y = torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.tensor([0, 1])
    means.observe(z, y)
    means.commit()
    z.requires_grad_(True)
    part = {"class_groups": split, "histogram_weight": 0.0, "max_weight": max_weight}
    equity_penalty(z, y, statistics=means, **part).sum().backward()
    return z.grad[1].abs().max() / z.grad[0].abs().max()


def test_the_cap_damps_cells_that_are_rarer_than_it_says():
    # the two rows that were seen count too: shares are (999, 3) / 1002
    assert two_steps(None, 2) == pytest.approx(999 / 3)
    assert two_steps(100.0, 2) == pytest.approx(200 * 999 / 1002)
    assert two_steps(100.0, 50) == pytest.approx(two_steps(None, 50))


def test_lifting_only_pulls_no_privileged_row_and_stops_without_a_lag():
    z = torch.tensor([[3.0, 0.0], [1.0, 0.0]], requires_grad=True)
    y, counts = torch.tensor([0, 1]), [9, 1]
    means = running_means("equity", class_counts=counts)
    means.observe(z, y)
    means.commit()
    part = {"class_groups": class_groups(counts), "histogram_weight": 0.0, "lift_only": True}
    equity_penalty(z, y, statistics=means, **part).sum().backward()
    assert (z.grad[0] == 0).all() and z.grad[1, 1] < 0  # a step down the gradient raises z_1
    ahead = running_means("equity", class_counts=counts)
    ahead.observe(torch.tensor([[1.0, 0.0], [0.0, 5.0]]), y)
    ahead.commit()
    assert (equity_penalty(z.detach(), y, statistics=ahead, **part) == 0).all()


def test_lifting_only_is_the_slope_of_the_lagging_rows_alone():
    z, y, _ = data(10)
    lag = oracle.slope(lambda moved: oracle.equity(moved, y, LOW, 1.0, 0.0), z)
    means = running_means("equity", class_counts=np.bincount(y[y >= 0], minlength=K))
    means.observe(torch.tensor(z), torch.tensor(y))
    means.commit()
    logits = torch.tensor(z, requires_grad=True)
    part = {"class_groups": SPLIT, "histogram_weight": 0.0, "max_weight": None, "lift_only": True}
    rows = equity_penalty(logits, torch.tensor(y), statistics=means, **part)
    (rows.sum() / known_rows(y)).backward()
    margins = means.means[:, 0].numpy()
    behind = margins[~LOW].mean() > margins[LOW].mean()
    lagging = (y >= 0) & LOW[np.maximum(y, 0)]
    expected = np.where(lagging[:, None], lag, 0.0)
    assert behind and np.abs(expected).max() > 0.01
    np.testing.assert_allclose(logits.grad, expected, atol=3e-8)


@pytest.mark.parametrize(("part", "rate"), [("margin_weight", 0.5), ("histogram_weight", 5.0)])
def test_going_down_the_equity_penalty_lowers_it(part, rate):
    """Optimality: gradient steps over the whole set reduce the literal D, part by part."""
    z, y, _ = data(8)
    other = {"margin_weight": "histogram_weight", "histogram_weight": "margin_weight"}[part]
    case = Case("equity", equity_penalty, None, class_groups=SPLIT, **{other: 0.0})
    start = oracle.equity(z, y, LOW, **{other: 0.0})
    for _ in range(60):
        statistics = case.statistics(y)
        case.observe(statistics, z, y, None)
        statistics.commit()
        logits = torch.tensor(z, requires_grad=True)
        case.rows(logits, y, None, statistics).mean().backward()
        z = z - rate * logits.grad.numpy()
    assert oracle.equity(z, y, LOW, **{other: 0.0}) < 0.2 * start


def test_a_gap_beyond_the_margin_is_asked_no_more():
    """Known answer: h_c - h_n is 2.5 in the mean, as in the docstring."""
    z, y = torch.tensor([[4.0, 1.0], [0.0, 2.0]], requires_grad=True), torch.tensor([0, 1])
    means = running_means("label_balance", class_counts=[1, 1])
    means.observe(z, y)
    means.commit()
    for margin, value, pull in ((3.0, 0.5, 0.5), (2.0, 0.0, 0.0)):
        mean = gap_penalty(z, y, statistics=means, margin=margin).mean()
        (gradient,) = torch.autograd.grad(mean, z)
        assert float(mean.detach()) == pytest.approx(value)
        np.testing.assert_allclose(gradient, [[-pull, pull], [pull, -pull]])


def test_two_classes_and_two_groups_give_the_squared_gap():
    """Known answer: selection rates 0.9 and 0.4 as probabilities."""
    p = np.array([0.9, 0.9, 0.4])
    z = torch.tensor(np.stack([np.log(1 - p), np.log(p)], axis=1))
    y, a = torch.tensor([1, 1, 1]), torch.tensor([0, 0, 1])
    for kind, function in (
        ("demographic_parity", demographic_parity_penalty),
        ("equal_opportunity", equal_opportunity_penalty),
    ):
        means = running_means(kind, class_counts=[1, 1], groups=2)
        means.observe(z, y, a)
        means.commit()
        assert float(function(z, y, a, statistics=means).mean()) == pytest.approx(0.25)


def test_running_means_follow_the_literal_recursion():
    rng = np.random.default_rng(0)
    means = running_means("label_balance", class_counts=[1, 1, 1], momentum=0.7)
    literal = {(k, side): oracle.RunningMean(0.7) for k in range(3) for side in (0, 1)}
    for n in (1, 4, 2):
        z, y = rng.normal(size=(n, 3)), rng.integers(0, 2, n)  # label 2 never comes
        means.observe(torch.tensor(z), torch.tensor(y))
        means.commit()
        for (k, side), one in literal.items():
            one.step(z[(y == k) if side == 0 else (y != k), k])
    expected = [
        literal[k, side].value if literal[k, side].weight else 0.0
        for side in (0, 1)
        for k in range(3)
    ]
    np.testing.assert_allclose(means.means[:, 0], expected, rtol=1e-12)
    assert means.seen.tolist() == [literal[k, s].weight > 0 for s in (0, 1) for k in range(3)]


def test_shares_start_at_the_counts_and_count_the_rows():
    means = running_means("equity", class_counts=[3, 1])
    assert means.shares.tolist() == [0.75, 0.25]
    means.observe(torch.zeros(4, 2), torch.tensor([1, 1, 1, -100]))
    means.commit()
    np.testing.assert_allclose(means.shares, [3 / 7, 4 / 7])


@given(
    losses=st.lists(st.floats(0, 20), min_size=1, max_size=6),
    step_size=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_group_weights_follow_the_literal_ascent(losses, step_size, seed):
    rng = np.random.default_rng(seed)
    weights = running_means("group_dro", class_counts=[1, 1], groups=G, step_size=step_size)
    expected = np.full(G, 1 / G)
    for _ in range(2):
        a = rng.integers(0, G, len(losses))
        # logits (x, 0) with label 1 have the loss log(1 + exp(x))
        x = np.log(np.expm1(np.maximum(losses, 1e-6)))
        z = torch.tensor(np.stack([x, np.zeros_like(x)], axis=1))
        weights.observe(z, torch.ones(len(a), dtype=torch.int64), torch.tensor(a))
        weights.commit()
        expected = oracle.group_weights(expected, np.maximum(losses, 1e-6), a, step_size)
    np.testing.assert_allclose(weights.weights, expected, rtol=1e-8, atol=1e-12)


def test_group_dro_is_the_weighted_sum_of_group_means():
    z, y, a = data(9)
    y = np.where(y < 0, 0, y)
    a = np.where(a < 0, 0, a)
    weights = running_means("group_dro", class_counts=[1] * K, groups=G, step_size=0.5)
    weights.observe(torch.tensor(z), torch.tensor(y), torch.tensor(a))
    weights.commit()
    losses = oracle.cross_entropy(z, y)
    expected = sum(
        float(q) * losses[a == g].mean() for g, q in enumerate(weights.weights) if (a == g).any()
    )
    found = group_dro(torch.tensor(z), torch.tensor(y), torch.tensor(a), statistics=weights)
    assert float(found.mean()) == pytest.approx(expected)


def test_group_dro_starts_with_plain_weights_where_nothing_is_known():
    weights = running_means("group_dro", class_counts=[1] * K, groups=G)
    z, y, a = data(10)
    found = group_dro(torch.tensor(z), torch.tensor(y), torch.tensor(a), statistics=weights)
    np.testing.assert_allclose(found, oracle.cross_entropy(z, y), rtol=1e-9)


def wrong_statistics():
    return running_means("equity", class_counts=[3, 1])


Z2, Y2 = torch.zeros(2, 2), torch.tensor([0, 1])
REFUSED = {
    "another penalty's statistics": (
        lambda: level_penalty(Z2, Y2, statistics=wrong_statistics()),
        r"`statistics` of `level_penalty` must come from `running_means\('label_balance'",
    ),
    "no statistics": (lambda: group_dro(Z2, Y2, statistics=wrong_statistics()), "'group_dro'"),
    "labels of the other form": (
        lambda: gap_penalty(
            Z2, torch.eye(2), statistics=running_means("label_balance", class_counts=[3, 1])
        ),
        r"must be \(n,\) codes.*\(2, 2\)",
    ),
    "a group out of range": (
        lambda: demographic_parity_penalty(
            Z2,
            Y2,
            torch.tensor([0, 2]),
            statistics=running_means("demographic_parity", class_counts=[3, 1], groups=2),
        ),
        r"`groups` of `demographic_parity` must lie in 0\.\.1.*got 2",
    ),
    "groups of another length": (
        lambda: equal_opportunity_penalty(
            Z2,
            Y2,
            torch.tensor([0]),
            statistics=running_means("equal_opportunity", class_counts=[3, 1], groups=2),
        ),
        "tensor of 2 codes",
    ),
    "an unknown penalty": (
        lambda: running_means("level", class_counts=[3, 1]),
        "`penalty` of `running_means` must be one of 'equity'",
    ),
    "one group": (
        lambda: running_means("demographic_parity", class_counts=[3, 1], groups=["a"]),
        "at least 2, got 1",
    ),
    "a momentum of one": (
        lambda: running_means("equity", class_counts=[3, 1], momentum=1.0),
        "`momentum`",
    ),
    "a total of another shape": (
        lambda: wrong_statistics().commit(torch.zeros(3)),
        r"sum over processes.*\(9,\), got \(3,\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_named(case):
    call, message = REFUSED[case]
    with pytest.raises(InvalidInputError, match=message):
        call()


def test_missing_groups_are_asked_for():
    with pytest.raises(GroupsRequiredError, match="names of the demographic groups"):
        running_means("equal_opportunity", class_counts=[3, 1])
    means = running_means("equal_opportunity", class_counts=[3, 1], groups=2)
    with pytest.raises(GroupsRequiredError, match=r"codes 0\.\.1 of demographic groups"):
        means.observe(Z2, Y2)
