"""One contract for every objective, and what is particular to some."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from isonomy.adapters.losses import (
    class_balanced_weights,
    class_groups,
    cross_entropy,
    equity_penalty,
    gap_penalty,
    ldam,
    level_penalty,
    logit_adjusted,
    make_objective,
    objective_settings,
)
from isonomy.errors import GroupsRequiredError, InvalidInputError, SameCountsWarning
from reference import class_losses as oracle

COUNTS = {"a": 20, "b": 10, "c": 4, "d": 2}
K, G, N = 4, 2, 12
NAMES = sorted(objective_settings())
WITH_STATISTICS = [
    name for name in NAMES if "momentum" in objective_settings()[name] or name == "group_dro"
]
each_name = pytest.mark.parametrize("name", NAMES)


def made(name, counts=COUNTS, **settings):
    grouped = name in ("demographic_parity", "equal_opportunity")
    return make_objective(name, class_counts=counts, groups=G if grouped else None, **settings)


def batch(name, seed=0, n=N):
    rng = np.random.default_rng(seed)
    z = torch.tensor(2 * rng.normal(size=(n, K)))
    y = rng.choice(K, n, p=[0.5, 0.3, 0.1, 0.1])
    if name.startswith("multi_label"):
        y = rng.integers(0, 2, (n, K))
    return z, torch.tensor(y), torch.tensor(rng.integers(0, G, n))


def warm(name, seed=1, **settings):
    """An objective whose statistics have met every class."""
    objective = made(name, **settings)
    for step in range(3):
        objective.observe(*batch(name, seed + step, n=20))
        objective.commit()
    objective.set_progress(0.9)
    return objective


@each_name
def test_per_sample_is_one_finite_number_a_row_with_gradient(name):
    objective = warm(name)
    for dtype, expected in (
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        for scale in (1.0, 1e4):
            z, y, a = batch(name)
            z = (scale * z).to(dtype).requires_grad_(True)
            value = objective.per_sample(z, y, a)
            value.sum().backward()
            assert value.shape == (N,) and value.dtype == expected
            assert torch.isfinite(value).all() and torch.isfinite(z.grad).all()


@each_name
def test_micro_batches_add_up_in_value_and_gradient(name):
    objective = warm(name)
    z, y, a = batch(name)
    whole, parts = z.clone().requires_grad_(True), z.clone().requires_grad_(True)
    objective.per_sample(whole, y, a).sum().backward()
    for cut in (slice(0, 1), slice(1, 7), slice(7, 7), slice(7, N)):
        objective.per_sample(parts[cut], y[cut], a[cut]).sum().backward()
        objective.observe(parts[cut], y[cut], a[cut])  # moves nothing yet
    np.testing.assert_allclose(parts.grad, whole.grad, rtol=1e-9, atol=1e-13)


def trained(name, way):
    """The weights of a linear adapter after four steps, on one process or several."""
    torch.manual_seed(0)
    x = torch.randn(N, 5, dtype=torch.float64)
    base, adapter = (torch.nn.Linear(5, K).double() for _ in range(2))
    base.requires_grad_(False)
    optimiser = torch.optim.SGD(adapter.parameters(), lr=0.5)
    processes = [made(name) for _ in range(2 if way == "processes" else 1)]
    cuts = {
        "whole": [slice(0, N)],
        "accumulated": [slice(0, 5), slice(5, 6), slice(6, N)],
        "processes": [slice(0, 7), slice(7, N)],
    }[way]
    for step in range(4):
        _, y, a = batch(name, seed=step)
        for i, cut in enumerate(cuts):
            objective = processes[i % len(processes)]
            objective.set_progress(step / 4)
            z = base(x[cut]) + adapter(x[cut])
            (objective.per_sample(z, y[cut], a[cut]).sum() / N).backward()
            objective.observe(z, y[cut], a[cut])
        assert base.weight.grad is None
        optimiser.step()
        optimiser.zero_grad()
        total = sum(objective.pending() for objective in processes)
        for objective in processes:
            objective.commit(total)
    return adapter.weight.detach(), processes[-1].state_dict()


@each_name
@pytest.mark.parametrize("way", ["accumulated", "processes"])
def test_accumulation_and_processes_train_the_same_weights(name, way):
    expected, state = trained(name, "whole")
    weights, other = trained(name, way)
    np.testing.assert_allclose(weights, expected, rtol=1e-10, atol=1e-13)
    assert list(state) == list(other)
    for key, value in state.items():
        np.testing.assert_allclose(other[key], value, rtol=1e-10, atol=1e-13)


@each_name
def test_relabelling_the_classes_permutes(name):
    order = [2, 0, 3, 1]  # new class j is old class order[j]
    names = list(COUNTS)
    one = made(name)
    other = made(name, counts={names[i]: COUNTS[names[i]] for i in order})
    for step in range(3):
        z, y, a = batch(name, seed=step)
        moved = y[:, order] if y.ndim == 2 else torch.argsort(torch.tensor(order))[y]
        np.testing.assert_allclose(
            other.per_sample(z[:, order], moved, a), one.per_sample(z, y, a), rtol=1e-9, atol=1e-12
        )
        one.observe(z, y, a)
        other.observe(z[:, order], moved, a)
        one.commit()
        other.commit()


@each_name
def test_a_state_continues_to_the_bit(name):
    first, second = warm(name), made(name)
    state = {key: value.clone() for key, value in first.state_dict().items()}
    assert all(isinstance(v, torch.Tensor) and v.is_contiguous() for v in state.values())
    second.load_state_dict(state)
    for step in range(2):
        rows = batch(name, seed=step)
        assert torch.equal(first.per_sample(*rows), second.per_sample(*rows))
        assert first.values() == second.values()
        for objective in (first, second):
            objective.observe(*rows)
            objective.commit()
    assert all(torch.equal(v, second.state_dict()[k]) for k, v in first.state_dict().items())


@each_name
def test_a_state_of_something_else_is_refused_and_changes_nothing(name):
    objective = warm(name)
    before = objective.state_dict()
    with pytest.raises(InvalidInputError, match="'progress' is missing.*same name"):
        objective.load_state_dict({k: v for k, v in before.items() if k != "progress"})
    with pytest.raises(InvalidInputError, match="'strange' is unknown"):
        objective.load_state_dict({**before, "strange": torch.zeros(1)})
    for key in before:
        with pytest.raises(InvalidInputError, match=rf"state\['{key}'\].*must have shape"):
            objective.load_state_dict({**before, key: torch.zeros(9, 9, 9)})
    assert all(torch.equal(v, before[k]) for k, v in objective.state_dict().items())


@each_name
def test_loading_drops_what_was_pending(name):
    objective = warm(name)
    state = objective.state_dict()
    objective.observe(*batch(name))
    objective.load_state_dict(state)
    assert (objective.pending() == 0).all()


@each_name
def test_pending_is_float64_and_empty_without_statistics(name):
    pending = made(name).pending()
    assert pending.dtype == torch.float64 and pending.ndim == 1
    assert (len(pending) > 0) == (name in WITH_STATISTICS)


@each_name
def test_evaluation_needs_no_gradient_and_moves_nothing(name):
    objective = warm(name)
    rows = batch(name)
    before = objective.state_dict()
    expected = objective.per_sample(*rows).detach()
    fresh = made(name)
    fresh.load_state_dict(before)
    with torch.inference_mode():
        np.testing.assert_array_equal(fresh.per_sample(*rows).numpy(), expected)
    with torch.no_grad():
        np.testing.assert_array_equal(objective.per_sample(*rows), expected)
    assert all(torch.equal(v, before[k]) for k, v in objective.state_dict().items())


@each_name
def test_autocast_and_inference_mode_change_no_statistics(name):
    plain, mixed, inferred = warm(name), warm(name), warm(name)
    z, y, a = batch(name)
    z = z.float()
    expected = plain.per_sample(z, y, a)
    plain.observe(z, y, a)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(mixed.per_sample(z, y, a), expected)
        mixed.observe(z, y, a)
    with torch.inference_mode():
        inferred.observe(z, y, a)
    for objective in (plain, mixed, inferred):
        objective.commit()
        for key, value in objective.state_dict().items():
            assert torch.equal(value, plain.state_dict()[key])


@each_name
def test_one_row_no_row_and_rows_without_labels_are_defined(name):
    objective = warm(name)
    for n in (0, 1):
        z, y, a = batch(name, n=n)
        assert objective.per_sample(z, y, a).shape == (n,)
        objective.observe(z, y, a)
    z, y, a = batch(name)
    z.requires_grad_(True)
    ignored = objective.per_sample(z, torch.full_like(y, -100), a)
    ignored.sum().backward()
    assert (ignored == 0).all() and (z.grad == 0).all()
    objective.commit()
    assert all(np.isfinite(v) for v in objective.values().values())


@each_name
def test_settings_are_all_there_and_json_able(name):
    objective = made(name)
    assert json.loads(json.dumps(objective.settings)) == objective_settings()[name]
    assert objective.name == name and objective.n_classes == K and name in repr(objective)
    again = made(name, **objective.settings)
    assert again.settings == objective.settings
    assert all(isinstance(v, float) for v in warm(name).values().values())


@each_name
def test_an_unknown_setting_lists_those_there_are(name):
    known = next(iter(objective_settings()[name]), "none")
    with pytest.raises(InvalidInputError, match=rf"`lamda` is not a setting of .*{known}"):
        made(name, lamda=1.0)


@each_name
def test_logits_of_another_width_and_labels_out_of_range_are_named(name):
    objective = made(name)
    z, y, a = batch(name)
    with pytest.raises(InvalidInputError, match="column for each of the 4 classes, got 3"):
        objective.per_sample(z[:, :3], y, a)
    with pytest.raises(InvalidInputError, match="got 7"):
        objective.per_sample(z, torch.full_like(y, 7), a)


@each_name
def test_progress_lies_between_0_and_1(name):
    objective = made(name)
    with pytest.raises(InvalidInputError, match="`fraction`"):
        objective.set_progress(1.5)
    with pytest.raises(InvalidInputError, match="`fraction`"):
        objective.set_progress(float("nan"))


def test_equity_is_the_adjusted_loss_plus_its_penalty():
    objective = warm("equity", tau=0.5, weight=0.3, margin_weight=2.0, max_weight=None)
    assert objective.settings["lift_only"]  # the default, unlike the function's
    z, y, _ = batch("equity")
    penalty = equity_penalty(
        z,
        y,
        statistics=objective._statistics,
        class_groups=class_groups(COUNTS),
        margin_weight=2.0,
        lift_only=True,
        max_weight=None,
    )
    loss = logit_adjusted(z, y, class_counts=COUNTS, tau=0.5)
    np.testing.assert_allclose(objective.per_sample(z, y), loss + 0.3 * penalty, rtol=1e-12)


def test_the_measured_defaults_of_equity():
    known = objective_settings()["equity"]
    assert (known["tau"], known["weight"], known["lift_only"]) == (0.25, 0.1, True)


HAS_MEANS = [name for name in NAMES if "momentum" in objective_settings()[name]]


@pytest.mark.parametrize("name", HAS_MEANS)
@pytest.mark.parametrize("what", ["detached", "changed", "another", "relabelled", "inference"])
def test_observing_what_was_scored_adds_what_a_fresh_look_adds(name, what):
    """`observe` may use the features of `per_sample` again, of these very rows alone."""
    objective, fresh = warm(name), warm(name)
    z, y, a = batch(name)
    if what == "inference":
        with torch.inference_mode():
            z = z.clone()
    objective.per_sample(z, y, a)
    if what == "detached":
        z = z.detach()
    elif what == "changed":
        z.mul_(2.0)
    elif what == "another":
        z = z + 1.0
    elif what == "relabelled":
        y = y.flip(0)
    with torch.inference_mode(what == "inference"):
        objective.observe(z, y, a)
        fresh.observe(z, y, a)
    assert torch.equal(objective.pending(), fresh.pending())
    objective.observe(z, y, a)  # a second look at the same rows counts them twice
    fresh.observe(z, y, a)
    assert torch.equal(objective.pending(), fresh.pending())


def test_what_is_kept_of_a_batch_has_no_graph():
    """Else the activations of the whole model would live on until the next batch."""
    objective = warm("equity")
    z, y, _ = batch("equity")
    objective.per_sample(z.requires_grad_(True), y)
    kept = objective._last
    assert not any(t.requires_grad for t in (kept.features.own, kept.features.shared))
    assert not any(t is not None and t.requires_grad for t in kept.made_of)


def test_label_balance_is_cross_entropy_plus_level_and_gap():
    objective = warm("label_balance", beta=0.3, gamma=0.7, margin=9.0)
    z, y, _ = batch("label_balance")
    more = {"statistics": objective._statistics}
    expected = cross_entropy(z, y) + 0.3 * level_penalty(z, y, **more)
    expected += 0.7 * gap_penalty(z, y, margin=9.0, **more)
    np.testing.assert_allclose(objective.per_sample(z, y), expected, rtol=1e-12)


def test_the_value_reported_is_that_of_the_running_means():
    objective = made("equity", lift_only=False)
    z, y, _ = batch("equity", n=20)
    objective.observe(z, y)
    objective.commit()
    low = class_groups(COUNTS).unprivileged
    found = objective.values()
    assert found["penalty"] == pytest.approx(oracle.equity(z.numpy(), y.numpy(), low))
    assert found["penalty"] == pytest.approx(found["margin"] + found["histogram"])


def test_deferred_weights_start_when_asked():
    objective = made("ldam_drw", deferred=0.6, beta=0.99, scale=2.0)
    z, y, _ = batch("ldam_drw")
    plain = ldam(z, y, class_counts=COUNTS, scale=2.0)
    weight = class_balanced_weights(COUNTS, beta=0.99)
    late = ldam(z, y, class_counts=COUNTS, scale=2.0, weight=weight)
    for progress, expected, flag in ((0.0, plain, 0.0), (0.59, plain, 0.0), (0.6, late, 1.0)):
        objective.set_progress(progress)
        assert torch.equal(objective.per_sample(z, y), expected)
        assert objective.values() == {"deferred_weights": flag}


@pytest.mark.parametrize(("progress", "share"), [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (1.0, 1.0)])
def test_a_ramp_lets_the_penalty_grow(progress, share):
    objective = warm("equity", weight=0.4, ramp=0.5)
    full = warm("equity", weight=0.4)
    z, y, _ = batch("equity")
    objective.set_progress(progress)
    loss = logit_adjusted(z, y, class_counts=COUNTS, tau=0.25)
    expected = loss + share * (full.per_sample(z, y) - loss)
    np.testing.assert_allclose(objective.per_sample(z, y), expected, rtol=1e-9)


def test_group_dro_takes_the_classes_or_the_groups():
    by_class, by_group = (
        made("group_dro"),
        make_objective("group_dro", class_counts=COUNTS, groups=["women", "men"]),
    )
    z, y, a = batch("group_dro")
    assert by_class.per_sample(z, y).shape == (N,)
    with pytest.raises(GroupsRequiredError, match="`groups` of `group_dro`"):
        by_group.per_sample(z, y)
    by_group.observe(z, y, a)
    by_group.commit()
    assert set(by_group.values()) == {"largest_weight", "worst_group"}


def test_equal_counts_turn_the_margin_part_off_and_say_so():
    with pytest.warns(SameCountsWarning, match="Only the histogram part"):
        objective = make_objective("equity", class_counts=[5, 5, 5, 5])
    objective.observe(*batch("equity"))
    objective.commit()
    assert objective.values()["margin"] == 0 and objective.values()["histogram"] > 0


def test_classes_give_the_order_of_counts():
    shuffled = dict(reversed(COUNTS.items()))
    objective = make_objective("logit_adjusted", class_counts=shuffled, classes=list(COUNTS))
    z, y, _ = batch("logit_adjusted")
    assert torch.equal(objective.per_sample(z, y), logit_adjusted(z, y, class_counts=COUNTS))


REFUSED = {
    "unknown name": ("lora", {}, "`name` of `make_objective` must be one of 'cross_entropy'"),
    "no rows": ("equity", {"class_counts": {"x": 3, "y": 0}}, r"got 0 for class 'y'"),
    "no rows for a weight": (
        "class_balanced",
        {"class_counts": {"x": 3, "y": 0}},
        "got 0 for class 'y'",
    ),
    "a class that is not counted": (
        "focal",
        {"classes": ["a", "b", "c", "e"]},
        "count exactly the `classes`, got no count for 'e'",
    ),
    "a count too many": ("focal", {"classes": ["a", "b", "c"]}, "the unknown class 'd'"),
    "a class twice": ("focal", {"classes": ["a", "b", "c", "c"]}, "got 'c' twice"),
    "counts for other classes": (
        "focal",
        {"class_counts": [1, 2], "classes": ["a", "b", "c"]},
        "each of the 3 `classes`, got 2",
    ),
    "one group": ("group_dro", {"groups": ["all"]}, "at least 2, got 1"),
    "a word for a number": ("focal", {"gamma": "2"}, "must be a number, got '2'"),
    "out of range": ("ldam_drw", {"deferred": 2.0}, r"\[0, 1\]"),
    "a number for a flag": ("equity", {"lift_only": 2}, "one of True, False"),
    "an unknown rule": ("equity", {"rule": "size"}, "'count', 'ratio', 'names'"),
    "names that are none": ("equity", {"unprivileged": 3}, "must be a list of names"),
    "unknown names": (
        "equity",
        {"rule": "names", "unprivileged": ["z"]},
        "name classes out of.*unknown 'z'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_named(case):
    name, given, message = REFUSED[case]
    with pytest.raises(InvalidInputError, match=message):
        make_objective(name, **{"class_counts": COUNTS, **given})


@pytest.mark.parametrize("name", ["demographic_parity", "equal_opportunity"])
def test_penalties_between_groups_ask_for_groups(name):
    with pytest.raises(GroupsRequiredError, match=f'make_objective."{name}"'):
        make_objective(name, class_counts=COUNTS)
    z, y, _ = batch(name)
    with pytest.raises(GroupsRequiredError, match="codes 0..1"):
        warm(name).per_sample(z, y)
