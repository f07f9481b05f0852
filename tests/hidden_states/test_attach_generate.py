"""Steering while a model generates: tokens of prompt and answer, caches, beams, samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tiny_models
from isonomy.distributions import AffineMap
from isonomy.errors import GroupsRequiredError, InvalidInputError
from isonomy.hidden_states import attached
from reference.steered_states import module_name, run_by_hand

D = 16
TEXTS = ("She is", "He writes code", "A surgeon")
GROUPS = ("f", "m", "f")
N_NEW = 4


def low(seed):
    rng = np.random.default_rng(seed)
    return AffineMap.low_rank(*0.6 * rng.normal(size=(2, D, 2)), rng.normal(size=D))


def dense(seed):
    rng = np.random.default_rng(seed)
    return AffineMap(np.eye(D) + 0.5 * rng.normal(size=(D, D)), rng.normal(size=D))


BY_GROUP = {"f": low(1), "m": dense(2)}


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def decoder(request):
    model, reader = tiny_models.tiny(request.param)
    reader.padding_side = "left"
    return request.param, model, dict(reader(list(TEXTS), padding=True, return_tensors="pt"))


@pytest.fixture(scope="module")
def llama():
    model, reader = tiny_models.tiny("llama")
    reader.padding_side = "left"
    return model, dict(reader(list(TEXTS), padding=True, return_tensors="pt"))


def answer(model, batch, **settings):
    settings = {"do_sample": False, "min_new_tokens": N_NEW, "max_new_tokens": N_NEW, **settings}
    return model.generate(**batch, **settings)


def steered_here(positions, number, length, real):
    """Say whether the token of this number is steered, ``length`` tokens being the prompt."""
    if not real:
        return False
    return {
        "all": True,
        "last": number >= length - 1,  # the prompt's last, then every new one
        "prompt": number < length,
        "generated": number >= length,
    }[positions]


def answer_by_hand(model, batch, name, *, head, positions, maps):
    """Generate greedily without any cache: the whole text goes through at every step."""
    ids, mask = batch["input_ids"], batch["attention_mask"]
    length = ids.shape[1]
    for _ in range(N_NEW):
        keep = [
            [steered_here(positions, t, length, bool(one)) for t, one in enumerate(row)]
            for row in mask.tolist()
        ]
        inputs = {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
        }
        logits = run_by_hand(model, inputs, name, head=head, keep=keep, maps=maps)[:, -1]
        logits[:, tiny_models.END] = -torch.inf  # as `min_new_tokens` does
        ids = torch.cat([ids, logits.argmax(-1, keepdim=True)], dim=1)
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
    return ids


@pytest.mark.parametrize("site", ["residual", "norm_output", "head_input"])
@pytest.mark.parametrize("positions", ["last", "all", "prompt", "generated"])
def test_generation_steers_the_tokens_named_as_a_loop_by_hand_does(decoder, site, positions):
    kind, model, batch = decoder
    layer = None if site == "head_input" else 1
    name = module_name(kind, "causal", site, layer)
    maps = [(BY_GROUP[g].matrix, BY_GROUP[g].offset) for g in GROUPS]
    head = site == "head_input"
    expected = answer_by_hand(model, batch, name, head=head, positions=positions, maps=maps)
    before = answer(model, batch)
    with attached(
        model, BY_GROUP, layer=layer, site=site, positions=positions, sensitive_features=GROUPS
    ):
        assert torch.equal(answer(model, batch), expected)
    assert torch.equal(answer(model, batch), before)
    assert "generate" not in vars(model)


@pytest.mark.parametrize("positions", ["last", "all", "prompt", "generated", "cls"])
@pytest.mark.parametrize(
    "settings",
    [{"cache_implementation": "static"}, {"use_cache": False}, {"prefill_chunk_size": 2}],
    ids=str,
)
def test_the_cache_makes_no_difference(llama, positions, settings):
    model, batch = llama
    plain = answer(model, batch)
    with attached(
        model, BY_GROUP, layer=1, site="residual", positions=positions, sensitive_features=GROUPS
    ):
        expected = answer(model, batch)
        assert torch.equal(answer(model, batch, **settings), expected)
    assert not torch.equal(expected, plain)


@pytest.mark.parametrize("site", ["residual", "head_input"])
@pytest.mark.parametrize("positions", ["last", "all", "generated"])
def test_tokens_that_are_guessed_and_checked_together_make_no_difference(llama, site, positions):
    model, batch = llama
    one = {name: tensor[1:2] for name, tensor in batch.items()}
    settings = {"min_new_tokens": 12, "max_new_tokens": 12}
    layer = None if site == "head_input" else 1
    passes = []
    with attached(model, dense(1), layer=layer, site=site, positions=positions):
        expected = answer(model, one, **settings)
        count = model.model.embed_tokens.register_forward_hook(
            lambda _module, _args, states: passes.append(states.shape[1])
        )
        found = answer(model, one, **settings, prompt_lookup_num_tokens=3)
        count.remove()
    assert torch.equal(found, expected)
    assert max(passes[1:]) > 1  # guesses were made


@pytest.mark.filterwarnings("ignore:.*right-padding")
def test_a_prompt_padded_on_the_right_is_steered_at_its_last_real_token(llama):
    model, batch = llama
    ids, mask = batch["input_ids"], batch["attention_mask"]
    order = mask.argsort(dim=1, descending=True, stable=True)
    right = {"input_ids": ids.gather(1, order), "attention_mask": mask.gather(1, order)}
    with attached(model, dense(1), layer=1, site="residual"):
        cached, whole = (answer(model, right, use_cache=use) for use in (True, False))
    assert torch.equal(cached, whole)
    assert not torch.equal(cached, answer(model, right))


def test_groups_of_one_batch_of_prompts_do_not_steer_another(llama):
    model, batch = llama
    other = {name: tensor.flip(0) for name, tensor in batch.items()}
    with attached(model, BY_GROUP, layer=1, site="residual", sensitive_features=GROUPS) as handle:
        expected = answer(model, batch)
        assert torch.equal(answer(model, batch), expected)
        with pytest.raises(GroupsRequiredError, match="were given for other texts"):
            answer(model, other)
        handle.set_groups(GROUPS[::-1])
        answer(model, other)


def alone(model, batch, row, **settings):
    """Generate for one prompt, under the map of its group and no group."""
    one = {name: tensor[row : row + 1] for name, tensor in batch.items()}
    with attached(model, BY_GROUP[GROUPS[row]], layer=1, site="residual", positions="all"):
        return answer(model, one, **settings)


@pytest.mark.parametrize(
    "settings", [{"num_beams": 3}, {"num_beams": 4, "num_return_sequences": 2}]
)
def test_a_prompts_group_follows_its_beams(llama, settings):
    model, batch = llama
    expected = torch.cat([alone(model, batch, row, **settings) for row in range(3)])
    with attached(
        model, BY_GROUP, layer=1, site="residual", positions="all", sensitive_features=GROUPS
    ):
        found = answer(model, batch, **settings)
    assert torch.equal(found, expected)


def test_a_prompts_group_follows_its_samples(llama):
    model, batch = llama
    twice = {name: tensor.repeat_interleave(2, dim=0) for name, tensor in batch.items()}
    found = []
    for inputs, groups, settings in (
        (batch, GROUPS, {"num_return_sequences": 2}),
        (twice, np.repeat(GROUPS, 2), {}),
    ):
        with (
            torch.random.fork_rng(devices=[]),
            attached(model, BY_GROUP, layer=1, site="residual", sensitive_features=groups),
        ):
            torch.manual_seed(0)
            found.append(answer(model, inputs, do_sample=True, **settings))
    assert torch.equal(*found)


def test_a_loop_of_ones_own_with_a_cache_needs_its_groups_once(llama):
    model, batch = llama
    with attached(
        model, BY_GROUP, layer=1, site="residual", positions="generated", sensitive_features=GROUPS
    ):
        expected = answer(model, batch)
        ids, mask, cache = batch["input_ids"], batch["attention_mask"], None
        new = ids
        for _ in range(N_NEW):
            with torch.no_grad():
                out = model(
                    input_ids=new,
                    attention_mask=mask,
                    position_ids=(mask.cumsum(1) - 1).clamp(min=0)[:, -new.shape[1] :],
                    past_key_values=cache,
                    use_cache=True,
                )
            cache, logits = out.past_key_values, out.logits[:, -1]
            logits[:, tiny_models.END] = -torch.inf
            new = logits.argmax(-1, keepdim=True)
            ids, mask = torch.cat([ids, new], 1), torch.cat([mask, torch.ones_like(new)], 1)
    assert torch.equal(ids, expected)


def test_a_loop_of_ones_own_without_a_cache_needs_its_groups_once(llama):
    model, batch = llama

    def logits_of_two_steps(steerer, *, each_step):
        ids, mask = batch["input_ids"], batch["attention_mask"]
        found = []
        groups = None if steerer is None else GROUPS
        with (
            torch.no_grad(),
            attached(model, steerer or BY_GROUP, strength=1.0 if steerer else 0.0) as handle,
        ):
            for step in range(2):
                if groups is not None and (each_step or step == 0):
                    handle.set_groups(groups)
                found.append(model(input_ids=ids, attention_mask=mask).logits[:, -1])
                # the same tokens in every run, so that runs can be compared
                new = torch.full_like(ids[:, :1], 5 + step)
                ids, mask = torch.cat([ids, new], 1), torch.cat([mask, torch.ones_like(new)], 1)
        return found

    once = logits_of_two_steps(BY_GROUP, each_step=False)
    again = logits_of_two_steps(BY_GROUP, each_step=True)
    untouched = logits_of_two_steps(None, each_step=False)
    for step in range(2):
        assert torch.equal(once[step], again[step])
        assert not torch.allclose(once[step], untouched[step], atol=1e-4)


@pytest.mark.parametrize(
    ("groups", "error", "said"),
    [
        (None, GroupsRequiredError, "call `set_groups` on the handle"),
        (["f", "m"], InvalidInputError, r"next batch \(3\), got 2"),
        (["f"] * 6, InvalidInputError, r"next batch \(3\), got 6"),
    ],
)
def test_groups_are_checked_before_generation_begins(llama, groups, error, said):
    model, batch = llama
    ran = []
    handle = model.model.embed_tokens.register_forward_hook(lambda *_: ran.append(1))
    with (
        pytest.raises(error, match=said),
        attached(model, BY_GROUP, layer=1, site="residual", sensitive_features=groups),
    ):
        answer(model, batch, num_beams=2)
    handle.remove()
    assert ran == []
    assert "generate" not in vars(model)


def test_a_batch_is_not_taken_for_the_beams_of_a_smaller_one(llama):
    model, batch = llama
    twice = {name: tensor.repeat_interleave(2, dim=0) for name, tensor in batch.items()}
    with attached(model, BY_GROUP, layer=1, site="residual", sensitive_features=GROUPS):
        answer(model, batch, num_beams=2)
        with pytest.raises(InvalidInputError, match=r"next batch \(6\), got 3"):
            model(**twice)


def test_a_generate_of_the_users_own_is_given_back(llama):
    model, batch = llama

    def mine(**kwargs):
        return "mine"

    model.generate = mine
    try:
        with attached(model, low(1)):
            assert model.generate(**batch) == "mine"
            model(**batch)
        assert model.generate is mine
    finally:
        del model.generate


def test_a_peft_model_generates_as_its_merged_twin_does(llama):
    import copy

    from peft import LoraConfig, get_peft_model

    model, batch = llama
    config = LoraConfig(r=2, target_modules=["q_proj", "o_proj"], init_lora_weights=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        wrapped = get_peft_model(copy.deepcopy(model), config)
    merged = copy.deepcopy(wrapped).merge_and_unload()
    outputs, logits = [], []
    for one in (wrapped, merged):
        with attached(one, BY_GROUP, layer=1, site="attention_output", positions="all") as handle:
            handle.set_groups(GROUPS)
            outputs.append(answer(one, batch))
            with torch.no_grad():  # it goes round the inner model's own call
                logits.append(one(**batch).logits)
    assert torch.equal(*outputs)
    torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)
