"""Tokens are weighed by name or function, on either padding side, with and without a cache."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isonomy.errors import InvalidInputError
from isonomy.hidden_states._model._positions import (
    check_pooled,
    check_positions,
    real_tokens,
    token_weights,
)
from reference.token_weights import literal_weights

CPU = torch.device("cpu")
NAMES = ("last", "mean", "cls", "all", "prompt", "generated")


def weigh(positions, mask, *, n_tokens, batch=None, **more):
    batch = len(mask) if batch is None else batch
    return token_weights(
        positions,
        attention_mask=mask,
        input_ids=None,
        n_tokens=n_tokens,
        batch=batch,
        device=CPU,
        **more,
    )


@st.composite
def masks(draw):
    """Rows padded on the left, on the right or on both sides, perhaps wholly."""
    length = draw(st.integers(1, 7))
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        left = draw(st.integers(0, length))
        right = draw(st.integers(0, length - left))
        rows.append([0] * left + [1] * (length - left - right) + [0] * right)
    return rows


@given(mask=masks(), positions=st.sampled_from(NAMES), data=st.data())
def test_weights_are_those_of_the_literal_loop(mask, positions, data):
    n_tokens = data.draw(st.integers(1, len(mask[0])))
    past = len(mask[0]) - n_tokens
    limit = data.draw(st.integers(0, len(mask[0])))
    found = weigh(positions, torch.tensor(mask), n_tokens=n_tokens, past=past, prompt_length=limit)
    expected = literal_weights(positions, mask, n_tokens, past=past, prompt_length=limit)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.tensor(expected))


@given(mask=masks(), positions=st.sampled_from(NAMES))
def test_no_padding_token_ever_has_weight(mask, positions):
    found = weigh(positions, torch.tensor(mask), n_tokens=len(mask[0]))
    assert not found[torch.tensor(mask) == 0].any()


@given(mask=masks(), positions=st.sampled_from(NAMES))
def test_padding_on_either_side_gives_the_same_weights_of_the_same_tokens(mask, positions):
    left = torch.tensor([sorted(row) for row in mask])
    right = torch.tensor([sorted(row, reverse=True) for row in mask])
    found = [weigh(positions, m, n_tokens=m.shape[1])[m == 1] for m in (left, right)]
    torch.testing.assert_close(*found)


def test_without_a_mask_every_token_is_real():
    assert weigh("all", None, n_tokens=3, batch=2).tolist() == [[1.0] * 3] * 2
    assert weigh("last", None, n_tokens=3, batch=1).tolist() == [[0.0, 0.0, 1.0]]
    assert weigh("cls", None, n_tokens=2, batch=1, past=4).tolist() == [[0.0, 0.0]]


def test_steps_without_a_past_are_the_prompt_where_nobody_says_how_long_it_is():
    assert weigh("prompt", None, n_tokens=2, batch=1).tolist() == [[1.0, 1.0]]
    assert weigh("prompt", None, n_tokens=1, batch=1, past=2).tolist() == [[0.0]]
    assert weigh("generated", None, n_tokens=2, batch=1).tolist() == [[0.0, 0.0]]
    assert weigh("generated", None, n_tokens=1, batch=1, past=2).tolist() == [[1.0]]


@pytest.mark.parametrize("room", [0, 3])
@pytest.mark.parametrize("kind", ["bool", "added"])
def test_a_mask_of_four_dimensions_is_read_at_its_last_query(kind, room):
    mask = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]], dtype=torch.bool)
    causal = mask[:, None, None, :] & torch.ones(4, 4, dtype=torch.bool).tril()
    four = torch.nn.functional.pad(causal, (0, room))  # a static cache has room behind
    if kind == "added":
        low = torch.finfo(torch.float32).min
        four = torch.zeros(four.shape).masked_fill(~four, low)
    found = real_tokens(four, n_tokens=4, batch=2, device=CPU)
    assert torch.equal(found, mask)
    part = real_tokens(four[:, :, 2:], n_tokens=2, batch=2, device=CPU, past=2)
    assert torch.equal(part, mask[:, 2:])


def test_of_a_mapping_the_full_attentions_mask_counts():
    mask = torch.tensor([[0, 1]])
    both = {"sliding_attention": torch.tensor([[0, 0]]), "full_attention": mask}
    assert weigh("all", both, n_tokens=2, batch=1).tolist() == [[0.0, 1.0]]


def test_one_row_of_mask_serves_a_batch():
    assert weigh("all", torch.tensor([[0, 1]]), n_tokens=2, batch=2).tolist() == [[0.0, 1.0]] * 2


def test_a_function_gets_the_steps_mask_and_its_tokens():
    seen = []

    def second(mask, ids):
        seen.append((mask.tolist(), ids))
        return torch.tensor([[0.0, 2.0]])

    found = weigh(second, torch.tensor([[1, 0, 1]]), n_tokens=2)
    assert found.tolist() == [[0.0, 2.0]]
    assert seen == [([[0, 1]], None)]


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([[1.0]], r"one weight a token \(1, 2\), got shape \(1, 1\)"),
        ([[1.0, -1.0]], "weights of at least 0, got -1.0"),
        ([[1.0, float("nan")]], "weights of at least 0, got nan"),
    ],
)
def test_what_a_function_returns_is_checked(weights, said):
    with pytest.raises(InvalidInputError, match=said):
        weigh(lambda mask, ids: weights, None, n_tokens=2, batch=1)


@pytest.mark.parametrize("shape", [(3, 2), (2, 1)])
def test_a_mask_of_another_batch_or_too_short_is_refused(shape):
    with pytest.raises(InvalidInputError, match=r"`attention_mask`.*\(2, 2\), got shape"):
        weigh("last", torch.ones(shape), n_tokens=2, batch=2)


@pytest.mark.parametrize("positions", ["first", None, 3, ["last"]])
def test_unknown_positions_are_refused(positions):
    with pytest.raises(InvalidInputError, match="`positions` passed to `collect` must be one of"):
        check_positions(positions, where="collect")


def test_prompt_and_generated_are_understood_only_where_a_model_generates():
    check_positions("prompt", where="attached")
    with pytest.raises(InvalidInputError, match="must be one of 'last', 'mean', 'cls', 'all' or"):
        check_positions("prompt", where="collect", generating=False)


def test_pooled_states_take_names_and_no_function():
    check_pooled("cls", where="attached")
    with pytest.raises(InvalidInputError, match="there are no tokens left to choose from"):
        check_pooled(lambda mask, ids: mask, where="attached")
