"""Steering under gradients, checkpointing, half precision and compilation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tiny_models
from isonomy.distributions import AffineMap
from isonomy.errors import InvalidInputError
from isonomy.hidden_states import attached

D = 16
TEXTS = ("She is a nurse.", "He writes code", "A surgeon")
GROUPS = ("f", "m", "f")


def dense(seed):
    rng = np.random.default_rng(seed)
    return AffineMap(np.eye(D) + 0.3 * rng.normal(size=(D, D)), rng.normal(size=D))


def low(seed):
    rng = np.random.default_rng(seed)
    return AffineMap.low_rank(*0.5 * rng.normal(size=(2, D, 2)), rng.normal(size=D))


BY_GROUP = {"f": low(1), "m": dense(2)}
MOVES = {"low": low(3), "dense": dense(3)}


def model_and_batch(kind="llama", task="classification", **changes):
    model, reader = tiny_models.tiny(kind, task=task, **changes)
    return model, dict(reader(list(TEXTS), padding=True, return_tensors="pt"))


def as_tensors(move, dtype=torch.float32):
    return torch.tensor(move.matrix, dtype=dtype), torch.tensor(move.offset, dtype=dtype)


def checkpoint(model, *, reentrant):
    """Have the model compute its blocks again in the backward pass."""
    newer = getattr(
        model, "activation_checkpointing_enable", None
    )  # the older name warns where both are
    (newer or model.gradient_checkpointing_enable)({"use_reentrant": reentrant})


def gradients(model):
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def assert_same(found, expected, **tolerance):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, **tolerance)


@pytest.mark.parametrize("positions", ["last", "all"])
@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_gradients_flow_through_the_map_as_through_a_hook_by_hand(move, positions):
    model, batch = model_and_batch()
    matrix, offset = as_tensors(move)
    mask = batch["attention_mask"].bool()
    last = mask & (mask.flip(1).cumsum(1).flip(1) == 1)
    keep = (last if positions == "last" else mask)[:, :, None]

    def by_hand(module, args, out):
        return torch.where(keep, out @ matrix.T + offset, out)

    handle = model.model.layers[1].register_forward_hook(by_hand)
    model(**batch).logits.square().sum().backward()
    expected = gradients(model)
    handle.remove()
    with attached(model, move, layer=1, site="residual", positions=positions):
        model(**batch).logits.square().sum().backward()
    assert_same(gradients(model), expected, rtol=1e-3, atol=1e-4)


SITES = ("residual", "norm_output", "mlp_norm_output", "attention_output", "mlp_output")


def steered_gradients(model, batch, *, site, leave_first, nested=False):
    block = attached(
        model, BY_GROUP, layer=[0, 2], site=site, positions="all", sensitive_features=GROUPS
    )
    inner = attached(model, low(7), layer=2, site=site, positions="last")
    with block:
        if nested:
            inner.__enter__()
        loss = model(**batch).logits.square().sum()
        if nested:
            inner.__exit__(None, None, None)
        if not leave_first:
            loss.backward()
    if leave_first:
        loss.backward()
    return gradients(model)


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("leave_first", [True, False])
def test_a_checkpointed_block_is_recomputed_as_it_was_steered(site, reentrant, leave_first):
    model, batch = model_and_batch()
    model.train()
    expected = steered_gradients(model, batch, site=site, leave_first=False)
    checkpoint(model, reentrant=reentrant)
    if reentrant:  # it needs an input that wants a gradient
        model.enable_input_require_grads()
    functions = [m._gradient_checkpointing_func for m in model.model.layers]
    found = steered_gradients(model, batch, site=site, leave_first=leave_first)
    # the same numbers, added up in another order
    assert_same(found, expected, rtol=1e-5, atol=1e-6)
    assert [m._gradient_checkpointing_func for m in model.model.layers] == functions


@pytest.mark.parametrize("site", ["residual", "mlp_output"])
def test_nested_steerers_are_recomputed_in_their_order(site):
    model, batch = model_and_batch()
    model.train()
    expected = steered_gradients(model, batch, site=site, leave_first=False, nested=True)
    checkpoint(model, reentrant=False)
    found = steered_gradients(model, batch, site=site, leave_first=False, nested=True)
    assert_same(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("site", ["residual", "attention_output"])
def test_a_batch_is_recomputed_with_its_own_groups_after_the_next_one_went_through(site):
    model, batch = model_and_batch()
    model.train()

    def two_batches():
        losses = []
        with attached(model, BY_GROUP, layer=1, site=site, positions="all") as handle:
            for groups in (GROUPS, ("m", "m", "f")):
                handle.set_groups(groups)
                losses.append(model(**batch).logits.square().sum())
            losses[0].backward()
        return gradients(model)

    expected = two_batches()
    checkpoint(model, reentrant=False)
    assert_same(two_batches(), expected, rtol=1e-5, atol=1e-6)


def test_checkpointing_may_be_switched_on_within_the_block():
    model, batch = model_and_batch()
    model.train()
    expected = steered_gradients(model, batch, site="mlp_output", leave_first=False)
    with attached(
        model,
        BY_GROUP,
        layer=[0, 2],
        site="mlp_output",
        positions="all",
        sensitive_features=GROUPS,
    ):
        checkpoint(model, reentrant=False)
        loss = model(**batch).logits.square().sum()
    loss.backward()
    assert_same(gradients(model), expected, rtol=1e-5, atol=1e-6)


def read_head(model):
    """Return a list that fills with what the head reads, after any steering."""
    states = []
    linear = model.score
    linear.register_forward_hook(lambda m, args, out: states.append(args[0].detach()))
    return states


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_states_are_moved_in_float32_at_least_and_rounded_once(dtype):
    model, batch = model_and_batch()
    model = model.to(dtype)
    states = read_head(model)
    work = torch.float64 if dtype == torch.float64 else torch.float32
    move = AffineMap(dense(4).matrix, np.full(D, 1000.0))  # far out, half precision is coarse
    matrix, offset = as_tensors(move, work)
    with torch.no_grad():
        model(**batch)
        with attached(model, move, positions="all"):
            model(**batch)
    real = batch["attention_mask"].bool()
    before, after = states[0][real], states[1][real]
    expected = (before.to(work) @ matrix.T + offset).to(dtype)
    assert after.dtype == dtype
    # one unit in the last place, where float32 products differ in their own last place
    torch.testing.assert_close(after, expected, rtol=2 * torch.finfo(dtype).eps, atol=0)
    assert torch.equal(states[0][~real], states[1][~real])


def test_autocast_does_not_round_the_map():
    model, batch = model_and_batch()
    states = read_head(model)
    shift = AffineMap(dense(4).matrix, np.zeros(D))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        model(**batch)
        with attached(model, shift, positions="all"):
            model(**batch)
    matrix, _ = as_tensors(shift)
    expected = states[0].float() @ matrix.T
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(states[1].float()[real], expected[real], rtol=1e-5, atol=1e-5)


def test_a_map_first_used_in_inference_mode_can_train_later():
    model, batch = model_and_batch()
    with attached(model, BY_GROUP, layer=1, site="residual", sensitive_features=GROUPS):
        with torch.inference_mode():
            model(**batch)
        model(**batch).logits.sum().backward()
    assert gradients(model)


def compilable(kind="llama"):
    # one block: tracing transformers anew is what these tests wait for
    return model_and_batch(kind, num_hidden_layers=1)


def test_a_compiled_model_is_steered_in_one_graph_and_then_is_not():
    model, batch = compilable()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    arguments = {"layer": [0, None], "site": ["residual", "head_input"]}
    with torch.no_grad():
        before = compiled(**batch).logits
        with attached(model, [low(3), dense(3)], **arguments):
            expected = model(**batch).logits
        with attached(compiled, [low(3), dense(3)], **arguments):
            found = compiled(**batch).logits
        after = compiled(**batch).logits
    torch.compiler.reset()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(after, before)
    assert not torch.allclose(expected, before, atol=1e-3)


def test_a_model_compiled_in_place_is_steered_by_group_and_its_groups_are_checked():
    model, batch = compilable()
    found, expected = [], []

    def run(to):
        with (
            torch.no_grad(),
            attached(model, BY_GROUP, layer=0, site="mlp_output", positions="all") as handle,
        ):
            for groups in (GROUPS, ("m", "f", "f")):
                handle.set_groups(groups)
                to.append(model(**batch).logits)
            handle.set_groups(["m"])
            with pytest.raises(InvalidInputError, match=r"next batch \(3\), got 1"):
                model(**batch)

    run(expected)
    model.compile(backend="aot_eager")
    run(found)
    torch.compiler.reset()
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    assert not torch.equal(*found)
