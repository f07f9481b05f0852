"""Attached steerers do what a hook by hand does, and leave no trace."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny_models
from isonomy.datasets import make_biased_normals
from isonomy.distributions import AffineMap
from isonomy.errors import GroupsRequiredError, InvalidInputError, UnknownGroupError
from isonomy.hidden_states import attached
from isonomy.hidden_states._model._layout import SITES
from isonomy.steering import IdealSteerer
from reference.steered_states import BASES, chosen, module_name, run_by_hand

D = 16
TEXTS = ("She is a nurse.", "He writes code for robots at the university.", "A surgeon")
GROUPS = ("f", "m", "f")


def dense(seed, size=0.3):
    rng = np.random.default_rng(seed)
    return AffineMap(np.eye(D) + size * rng.normal(size=(D, D)), rng.normal(size=D))


def low(seed, rank=2):
    rng = np.random.default_rng(seed)
    return AffineMap.low_rank(*0.5 * rng.normal(size=(2, D, rank)), rng.normal(size=D))


BY_GROUP = {"f": low(1), "m": dense(2)}


def batch_of(kind, reader, side="right"):
    if kind == "clip_vision":
        return {
            "pixel_values": torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        }
    reader.padding_side = side
    return dict(reader(list(TEXTS), padding=True, return_tensors="pt"))


def output(model, batch):
    with torch.no_grad():
        return model(**batch)[0]


def trace(model):
    """Return every hook and every attribute of the model's own objects."""
    hooks = {
        name: (dict(m._forward_hooks), dict(m._forward_pre_hooks), sorted(vars(m)))
        for name, m in model.named_modules()
    }
    return hooks, "generate" in vars(model)


@pytest.fixture(scope="module")
def llama():
    return tiny_models.tiny("llama")


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize(("kind", "task"), BASES)
def test_every_site_of_every_kind_does_what_a_hook_by_hand_does(kind, task, site):
    model, reader = tiny_models.tiny(kind, task=task)
    batch = batch_of(kind, reader)
    layer = None if site == "head_input" else 1
    name = module_name(kind, task, site, layer)
    mask = batch.get("attention_mask", torch.ones(3, 5)).tolist()
    maps = [(BY_GROUP[g].matrix, BY_GROUP[g].offset) for g in GROUPS]
    before, untouched = output(model, batch), trace(model)
    for positions in ("last", "all", "cls"):
        keep = chosen(mask, positions)
        head = site == "head_input"
        expected = run_by_hand(model, batch, name, head=head, keep=keep, maps=maps)
        with attached(
            model, BY_GROUP, layer=layer, site=site, positions=positions, sensitive_features=GROUPS
        ):
            found = output(model, batch)
        # products of 16 numbers near 1 in float32, through at most two blocks
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)
        assert torch.equal(output(model, batch), before)
        assert trace(model) == untouched
    if not (site == "head_input" and task == "classification" and kind in ("llama", "gpt2")):
        assert not torch.equal(found, before)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("positions", ["last", "mean", "all", "cls", "prompt", "generated"])
def test_positions_are_kept_to_on_either_padding_side(llama, side, positions):
    model, reader = llama
    batch = batch_of("llama", reader, side)
    maps = [(low(1).matrix, low(1).offset)] * 3
    keep = chosen(batch["attention_mask"].tolist(), positions)
    name = module_name("llama", "causal", "residual", 0)
    expected = run_by_hand(model, batch, name, head=False, keep=keep, maps=maps)
    with attached(model, low(1), layer=0, site="residual", positions=positions):
        found = output(model, batch)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)


def test_a_function_chooses_tokens_by_their_weight(llama):
    model, reader = llama
    batch = batch_of("llama", reader)
    states = []

    def second(mask, ids):
        assert mask.shape == ids.shape
        return torch.nn.functional.one_hot(torch.ones(3, dtype=torch.long), mask.shape[1])

    with attached(model, low(1), layer=2, site="residual", positions=second):
        handle = model.model.layers[2].register_forward_hook(lambda m, a, o: states.append(o))
        output(model, batch)
        handle.remove()
    handle = model.model.layers[2].register_forward_hook(lambda m, a, o: states.append(o))
    output(model, batch)
    handle.remove()
    moved = (states[0] != states[1]).any(-1)
    assert moved.nonzero().tolist() == [[0, 1], [1, 1], [2, 1]]


@pytest.fixture(scope="module")
def bert():
    return tiny_models.tiny("bert", task="classification")


@given(s=st.floats(-2, 3))
@settings(max_examples=10)
def test_strength_interpolates_between_the_state_and_its_image(bert, s):
    model, reader = bert
    batch = batch_of("bert", reader)
    ends = []
    for strength in (0.0, 1.0, s):
        for move in (dense(3), low(4)):
            with attached(model, move, strength=strength):
                ends.append(output(model, batch))
    for plain, whole, part in zip(ends[:2], ends[2:4], ends[4:], strict=True):
        # the head is linear, so logits interpolate as states do
        torch.testing.assert_close(part, (1 - s) * plain + s * whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "bert", "clip_vision"])
def test_strength_zero_is_bit_equal_and_sets_no_hook(kind):
    model, reader = tiny_models.tiny(kind)
    batch, untouched = batch_of(kind, reader), trace(model)
    before = output(model, batch)
    with attached(model, BY_GROUP, layer=0, site="residual", strength=0.0):
        assert trace(model) == untouched
        assert torch.equal(output(model, batch), before)


def test_the_identity_is_bit_equal():
    model, reader = tiny_models.tiny("gpt2")
    batch = batch_of("gpt2", reader)
    before = output(model, batch)
    same = {"f": AffineMap(np.eye(D), np.zeros(D)), "m": AffineMap.identity(D)}
    with attached(model, same, layer=1, site="residual", sensitive_features=GROUPS):
        assert torch.equal(output(model, batch), before)


def test_rows_of_a_group_that_stays_are_bit_equal_beside_rows_that_move():
    model, reader = tiny_models.tiny("llama", task="classification")
    batch = batch_of("llama", reader)
    before = output(model, batch)
    for move in (low(5), dense(5)):
        maps = {"f": AffineMap.identity(D), "m": move}
        with attached(model, maps, layer=1, site="residual", sensitive_features=GROUPS):
            found = output(model, batch)
        assert torch.equal(found[[0, 2]], before[[0, 2]])
        assert not torch.equal(found[1], before[1])


@pytest.mark.parametrize("move", [dense(6, 0.1), low(6)])
@pytest.mark.parametrize("positions", ["last", "all"])
def test_a_map_and_then_its_inverse_is_the_identity_to_rounding(llama, move, positions):
    model, reader = llama
    batch = batch_of("llama", reader)
    before = output(model, batch)
    with attached(
        model, [move, move.inverse()], layer=1, site="residual", positions=positions
    ) as handle:
        assert len(handle.spots) == 2
        torch.testing.assert_close(output(model, batch), before, rtol=1e-3, atol=1e-4)


def test_steerers_at_one_spot_act_in_the_order_given(llama):
    model, reader = llama
    batch = batch_of("llama", reader)
    f, g = dense(7), low(8)
    with attached(model, [f, g]):
        both = output(model, batch)
    with attached(model, g.compose(f)):
        composed = output(model, batch)
    with attached(model, [g, f]):
        other = output(model, batch)
    torch.testing.assert_close(both, composed, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(both, other, atol=1e-2)


def test_nested_blocks_act_from_the_outside_in_and_equal_one_block(llama):
    model, reader = llama
    batch = batch_of("llama", reader)
    f, g = dense(7), low(8)
    with attached(model, [f, g], layer=[0, 2], site="residual", positions="all"):
        one = output(model, batch)
    with (
        attached(model, f, layer=0, site="residual", positions="all"),
        attached(model, g, layer=2, site="residual", positions="all"),
    ):
        assert torch.equal(output(model, batch), one)


@pytest.mark.parametrize("first", [0, 1])
def test_nested_blocks_may_be_left_in_any_order(llama, first):
    model, reader = llama
    batch, untouched = batch_of("llama", reader), trace(model)
    before = output(model, batch)
    moves = (low(9), dense(10))
    alone = []
    for move in moves:
        with attached(model, move, layer=1, site="residual"):
            alone.append(output(model, batch))
    blocks = [attached(model, move, layer=1, site="residual") for move in moves]
    for block in blocks:
        block.__enter__()
    output(model, batch)
    blocks[first].__exit__(None, None, None)
    assert torch.equal(output(model, batch), alone[1 - first])
    blocks[1 - first].__exit__(None, None, None)
    assert torch.equal(output(model, batch), before)
    assert trace(model) == untouched


def test_an_exception_in_the_block_leaves_no_trace(llama):
    model, reader = llama
    batch, untouched = batch_of("llama", reader), trace(model)
    before = output(model, batch)
    with pytest.raises(ZeroDivisionError), attached(model, low(1), layer=0, site="residual"):
        raise ZeroDivisionError
    assert trace(model) == untouched
    assert torch.equal(output(model, batch), before)


def test_an_exception_within_the_model_leaves_no_trace(llama):
    model, reader = llama
    batch, untouched = batch_of("llama", reader), trace(model)
    before = output(model, batch)

    def fails(mask, ids):
        raise ZeroDivisionError

    with (
        pytest.raises(ZeroDivisionError),
        attached(model, low(1), layer=0, site="residual", positions=fails),
    ):
        output(model, batch)
    assert trace(model) == untouched
    assert torch.equal(output(model, batch), before)


def test_a_model_that_cannot_be_watched_keeps_no_trace(llama, monkeypatch):
    model, reader = llama
    untouched, seen = trace(model), []

    def signature(forward):
        seen.append(forward)
        if len(seen) == 2:  # after the first hooks are set
            raise ValueError("no signature")
        return inspect.Signature()

    with monkeypatch.context() as patched:
        patched.setattr(inspect, "signature", signature)
        with pytest.raises(ValueError, match="no signature"):
            attached(model, low(1)).__enter__()
    assert trace(model) == untouched
    with attached(model, low(1)):
        output(model, batch_of("llama", reader))
    assert trace(model) == untouched


def test_if_the_last_of_several_places_is_missing_no_hook_is_set(llama):
    model, _ = llama
    untouched = trace(model)
    block = attached(model, low(1), layer=[0, 1, 9], site="residual")
    with pytest.raises(InvalidInputError, match="0 to 2, got 9"):
        block.__enter__()
    assert trace(model) == untouched


@pytest.mark.parametrize("groups", [list(GROUPS), np.array(GROUPS, dtype=object)])
def test_groups_may_be_set_for_every_batch(llama, groups):
    model, reader = llama
    batch = batch_of("llama", reader)
    with attached(model, BY_GROUP, sensitive_features=groups):
        expected = output(model, batch)
    with attached(model, BY_GROUP) as handle:
        handle.set_groups(groups)
        assert torch.equal(output(model, batch), expected)
        assert torch.equal(output(model, batch), expected)  # they hold for the same texts
        handle.set_groups(["m", "m", "m"])
        other = output(model, batch)
    assert torch.equal(other[1], expected[1])
    assert not torch.equal(other[0], expected[0])


def test_groups_may_be_numbers_in_a_tensor(llama):
    model, reader = llama
    batch = batch_of("llama", reader)
    numbered = {0: BY_GROUP["f"], 1: BY_GROUP["m"]}
    with attached(model, BY_GROUP, sensitive_features=GROUPS):
        expected = output(model, batch)
    for dtype in (torch.int64, torch.bfloat16):
        with attached(model, numbered, sensitive_features=torch.tensor([0, 1, 0], dtype=dtype)):
            assert torch.equal(output(model, batch), expected)


def test_forgotten_groups_stop_the_model_before_it_runs(llama):
    model, reader = llama
    ran = []
    handle = model.model.embed_tokens.register_forward_hook(lambda *_: ran.append(1))
    with (
        attached(model, BY_GROUP, layer=0, site="residual"),
        pytest.raises(GroupsRequiredError, match="`sensitive_features`.*`set_groups`"),
    ):
        output(model, batch_of("llama", reader))
    with attached(model, BY_GROUP, layer=0, site="residual", sensitive_features=["f", "m"]):
        with pytest.raises(InvalidInputError, match=r"next batch \(3\), got 2"):
            output(model, batch_of("llama", reader))
        with pytest.raises(InvalidInputError, match=r"next batch \(3\), got 2"):
            model.model(**batch_of("llama", reader))  # the base alone is watched too
    handle.remove()
    assert ran == []


def test_groups_of_one_batch_do_not_steer_another(llama):
    model, reader = llama
    batch = batch_of("llama", reader)
    other = {**batch, "input_ids": batch["input_ids"].flip(0)}
    with attached(model, BY_GROUP, sensitive_features=GROUPS) as handle:
        output(model, batch)
        with pytest.raises(GroupsRequiredError, match="were given for other texts"):
            output(model, other)
        handle.set_groups(GROUPS)
        output(model, other)


def test_an_unknown_group_is_refused_when_it_is_set(llama):
    model, _ = llama
    with pytest.raises(UnknownGroupError, match=r"seen in `fit` \(f, m\), got also x"):
        attached(model, BY_GROUP, sensitive_features=["f", "x"]).__enter__()
    with (
        attached(model, BY_GROUP) as handle,
        pytest.raises(UnknownGroupError, match="`set_groups`.*got also x"),
    ):
        handle.set_groups(["f", "m", "x"])


def test_numbers_and_their_names_are_told_apart_in_the_message(llama):
    model, _ = llama
    numbered = {0: BY_GROUP["f"], 1: BY_GROUP["m"]}
    with pytest.raises(UnknownGroupError, match=r"seen in `fit` \(0, 1\), got also '0', '1'"):
        attached(model, numbered, sensitive_features=["0", "1", "0"]).__enter__()


def test_rows_of_an_unknown_group_stay_where_the_steerer_lets_them():
    model, reader = tiny_models.tiny("bert", task="classification")
    X, y, group, _ = make_biased_normals(400, n_features=D, random_state=0)
    names = np.where(group == "a", "f", "m")
    steerer = IdealSteerer(groups="given", unknown_group="identity", subspace="full")
    steerer.fit(X, y, sensitive_features=names)
    batch = batch_of("bert", reader)
    before = output(model, batch)
    with attached(model, steerer, sensitive_features=["f", "x", "m"]):
        found = output(model, batch)
    assert torch.equal(found[1], before[1])
    assert not torch.equal(found, before)


@pytest.mark.parametrize("inference", ["soft", "hard"])
@pytest.mark.parametrize("subspace", ["full", "discriminant"])
def test_inferred_groups_move_states_as_the_steerer_moves_rows(inference, subspace):
    model, reader = tiny_models.tiny("bert", task="classification")
    X, y, group, _ = make_biased_normals(600, n_features=D, n_classes=3, random_state=0)
    steerer = IdealSteerer(groups="infer", inference=inference, subspace=subspace)
    steerer.fit(X, y, sensitive_features=group)
    batch, states = batch_of("bert", reader), []
    reads = model.classifier.register_forward_pre_hook(lambda m, a: states.append(a[0]))
    before = output(model, batch)
    reads.remove()
    expected = model.classifier(torch.tensor(steerer.transform(states[0].numpy())))
    with attached(model, steerer):
        found = output(model, batch)
    torch.testing.assert_close(found, expected.detach(), rtol=1e-4, atol=1e-4)
    if inference == "soft":  # hard, all rows may be taken for the group that stays
        assert not torch.allclose(found, before, atol=1e-3)


def test_blind_steerers_ignore_groups(llama):
    model, reader = llama
    batch = batch_of("llama", reader)
    with attached(model, low(1)) as handle:
        expected = output(model, batch)
        handle.set_groups(["whoever"])
        assert torch.equal(output(model, batch), expected)


def test_positional_arguments_and_embedded_inputs_are_understood(llama):
    model, reader = llama
    batch = batch_of("llama", reader)
    embedded = model.get_input_embeddings()(batch["input_ids"]).detach()
    with attached(model, BY_GROUP, layer=0, site="residual", sensitive_features=GROUPS):
        expected = output(model, batch)
        with torch.no_grad():
            placed = model(batch["input_ids"], batch["attention_mask"])[0]
            given = model(inputs_embeds=embedded, attention_mask=batch["attention_mask"])[0]
    assert torch.equal(placed, expected)
    assert torch.equal(given, expected)


@pytest.mark.parametrize("keep", [1, 2, torch.tensor([0, 3])])
def test_the_head_may_see_some_of_the_tokens_alone(llama, keep):
    model, reader = llama
    batch = batch_of("llama", reader)
    with attached(model, low(1)):
        whole = output(model, batch)
        part = output(model, {**batch, "logits_to_keep": keep})
    columns = keep if isinstance(keep, torch.Tensor) else slice(-keep, None)
    torch.testing.assert_close(part, whole[:, columns])


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_head_may_see_some_of_the_tokens_after_a_block_saw_all(llama, side):
    model, reader = llama
    batch = batch_of("llama", reader, side)
    places = {"layer": [1, None], "site": ["residual", "head_input"]}
    with attached(model, [low(1), dense(2)], **places):
        whole = output(model, batch)
        part = output(model, {**batch, "logits_to_keep": 2})
    torch.testing.assert_close(part, whole[:, -2:])


def test_layers_may_be_a_range(llama):
    model, reader = llama
    batch = batch_of("llama", reader)
    with attached(model, low(1), layer=[0, 1, 2], site="residual"):
        expected = output(model, batch)
    with attached(model, low(1), layer=range(3), site="residual"):
        assert torch.equal(output(model, batch), expected)


@pytest.mark.parametrize(
    ("groups", "error", "said"),
    [
        (None, GroupsRequiredError, "`groups` passed to `set_groups`.*got None"),
        (3, InvalidInputError, "`set_groups` must be a sequence with one group a row, got 3"),
        (torch.tensor(1), InvalidInputError, "must be a sequence with one group a row"),
    ],
)
def test_what_holds_no_group_a_row_is_refused(llama, groups, error, said):
    model, _ = llama
    with attached(model, BY_GROUP) as handle, pytest.raises(error, match=said):
        handle.set_groups(groups)


def test_a_function_cannot_choose_among_pooled_states():
    model, reader = tiny_models.tiny("bert", task="classification")
    with (
        attached(model, low(1), positions=lambda mask, ids: mask),
        pytest.raises(InvalidInputError, match="no tokens left to choose from"),
    ):
        output(model, batch_of("bert", reader))


def test_a_spot_that_no_pass_comes_through_is_told(llama):
    model, reader = llama
    block = attached(model, low(1))
    block.__enter__()
    model.model(**batch_of("llama", reader))
    with pytest.raises(InvalidInputError, match="no pass came through lm_head"):
        block.__exit__(None, None, None)
    assert not model.lm_head._forward_pre_hooks


def test_a_part_that_is_called_alone_is_refused(llama):
    model, _ = llama
    with (
        attached(model, low(1)),
        pytest.raises(InvalidInputError, match="part 'lm_head' alone"),
    ):
        model.lm_head(torch.zeros(1, 2, D))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strength": float("nan")}, "`strength`"),
        ({"strength": "all"}, "`strength`"),
        ({"strength": float("inf")}, "`strength`.*must be finite"),
        ({"positions": "first"}, "`positions` passed to `attached`"),
        ({"site": "residual", "layer": 7}, "0 to 2, got 7"),
        ({"layer": 1}, "must be None where"),
        ({"site": ["residual", "residual"], "layer": [1]}, "sequences of one length"),
        ({"site": [], "layer": 1}, "sequences of one length"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_attached(llama, changes, said):
    model, _ = llama
    untouched = trace(model)
    with pytest.raises(InvalidInputError, match=said):
        attached(model, low(1), **changes).__enter__()
    assert trace(model) == untouched


def test_a_map_of_another_width_is_refused(llama):
    model, _ = llama
    with pytest.raises(InvalidInputError, match="must map states of 16 features.*got 3"):
        attached(model, AffineMap.identity(3)).__enter__()


def test_the_handle_says_where_it_stands(llama):
    model, _ = llama
    with attached(model, low(1), layer=1, site="residual") as handle:
        assert repr(handle) == "Attachment(residual at model.layers.1)"
