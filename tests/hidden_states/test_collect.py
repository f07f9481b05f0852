"""`collect` gives the moments that a loop over single texts gives, however it batches."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isonomy.hidden_states import collect
from isonomy.hidden_states._collect._batching import TextBatcher
from isonomy.hidden_states._collect._reduce import pool
from isonomy.hidden_states._collect._text_data import Example
from reference.hidden_states import RESIDUAL, hidden_rows, one_hidden_state, pooled
from reference.moments import cell_moments
from tiny_biographies import biographies, pictures
from tiny_models import KINDS, tiny

COLUMNS = {"text": "bio", "label": "job", "group": "gender"}
SITES = ("head_input", "residual", "attention_output", "norm_output")


def data_for(kind, n=40, **options):
    return pictures(n, **options) if kind == "clip_vision" else biographies(n, **options)


def encoded_one_by_one(kind, tokenizer, texts):
    if kind == "clip_vision":
        return [dict(tokenizer(images=[t], return_tensors="pt")) for t in texts]
    return [dict(tokenizer(t, return_tensors="pt")) for t in texts]


def assert_moments(found, X, data, *, rtol=1e-9, atol=1e-9):
    """Compare with exact sums of (n, d) rows; float32 forwards of other shapes differ by eps."""
    expected = cell_moments(X, data["job"], data["gender"])
    assert found.counts.sum() == len(X)
    for (label, group), (weight, n, mean, cov) in expected.items():
        i, j = found.classes.index(label), found.groups.index(group)
        assert found.counts[i, j] == weight and found.n_rows[i, j] == n
        np.testing.assert_allclose(found.means[i, j], mean, rtol=rtol, atol=atol)
        np.testing.assert_allclose(found.covariances[i, j], cov, rtol=rtol, atol=atol)


# encoders have no head here and another norm: they are judged by their own tests below
PLACES = [
    (kind, site)
    for kind in KINDS
    for site in SITES
    if kind not in ("bert", "roberta") or site in ("residual", "attention_output")
]


@pytest.mark.parametrize("positions", ["last", "mean", "cls"])
@pytest.mark.parametrize(("kind", "site"), PLACES)
def test_moments_are_those_of_a_loop_over_single_texts(kind, site, positions):
    data = data_for(kind, 24)
    model, tokenizer = tiny(kind)
    model = model.double()
    layers = None if site == "head_input" else "all"
    found = collect(
        model, data, **COLUMNS, layers=layers, site=site, positions=positions,
        tokenizer=tokenizer, batch_size=7, covariance="full",
    )  # fmt: skip
    encoded = encoded_one_by_one(kind, tokenizer, data["bio"])
    encoded = [
        {k: v.double() if v.is_floating_point() else v for k, v in e.items()} for e in encoded
    ]
    for layer, moments in found.items():
        X = hidden_rows(model, kind, encoded, site=site, layer=layer, positions=positions)
        assert_moments(moments, X, data)


@pytest.mark.parametrize(
    ("kind", "task", "module", "of_input"),
    [
        ("bert", "encoder", "pooler", False),
        ("bert", "classification", "classifier", True),
        ("roberta", "classification", "classifier.out_proj", True),
        ("llama", "encoder", "norm", False),
        ("llama", "classification", "score", True),
        ("clip_text", "encoder", None, False),
    ],
)
def test_the_head_input_of_other_models_is_what_their_head_reads(kind, task, module, of_input):
    data = biographies(20)
    model, tokenizer = tiny(kind, task=task)
    model = model.double()
    found = collect(model, data, **COLUMNS, tokenizer=tokenizer, batch_size=6, covariance="full")
    X = []
    for one in encoded_one_by_one(kind, tokenizer, data["bio"]):
        if module is None:  # this tower's last norm runs over all tokens
            X.append(model(**one).last_hidden_state[0, -1].detach().numpy())
        else:
            X.append(pooled(one_hidden_state(model, one, module, of_input=of_input), "last"))
    assert_moments(found[None], np.stack(X), data)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert"])
def test_residual_is_the_hidden_states_tuple_but_for_its_last_entry(kind):
    data = biographies(10)
    model, tokenizer = tiny(kind, task="encoder")
    model = model.double()
    found = collect(
        model, data, **COLUMNS, tokenizer=tokenizer, site="residual", layers=[0, 1],
        batch_size=4, covariance="full", positions="mean",
    )  # fmt: skip
    for layer in (0, 1):
        X = []
        for one in encoded_one_by_one(kind, tokenizer, data["bio"]):
            with torch.no_grad():
                states = model(**one, output_hidden_states=True).hidden_states
            X.append(states[layer + 1][0].mean(dim=0).numpy())
        assert_moments(found[layer], np.stack(X), data)


# -- laws ---------------------------------------------------------------------


def rows_of(model, data, tokenizer, **options):
    return collect(model, data, **COLUMNS, tokenizer=tokenizer, rows="memory", **options)


@given(batch_size=st.integers(1, 41), seed=st.integers(0, 100))
@settings(max_examples=12, deadline=None)
def test_batch_size_and_order_change_nothing_beyond_rounding(batch_size, seed):
    model, tokenizer = tiny("llama")
    model = model.double()
    data = biographies(24)
    order = np.random.default_rng(seed).permutation(24)
    shuffled = {name: [values[i] for i in order] for name, values in data.items()}
    one = rows_of(model, data, tokenizer, batch_size=24)
    other = rows_of(model, shuffled, tokenizer, batch_size=batch_size)
    np.testing.assert_allclose(other.rows()[0], one.rows()[0][order], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(other[None].means, one[None].means, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(
        other[None].covariances, one[None].covariances, rtol=1e-8, atol=1e-12
    )


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "clip_vision"])
def test_the_padding_side_of_the_tokenizer_changes_not_a_bit(kind):
    model, tokenizer = tiny(kind)
    data = biographies(30)
    right = rows_of(model, data, tokenizer, batch_size=8, site="residual", layers=1)
    tokenizer.padding_side = "left"
    left = rows_of(model, data, tokenizer, batch_size=8, site="residual", layers=1)
    np.testing.assert_array_equal(left.rows(1)[0], right.rows(1)[0])
    assert tokenizer.padding_side == "left"


@pytest.mark.parametrize("kind", ["llama", "gpt2", "roberta", "clip_text"])
def test_a_tokenizer_without_padding_token_reads_the_same(kind):
    model, tokenizer = tiny(kind)
    data = biographies(30)
    with_pad = rows_of(model, data, tokenizer, batch_size=8)
    bare = copy.deepcopy(tokenizer)
    bare.pad_token = None
    without = rows_of(model, data, bare, batch_size=8)
    np.testing.assert_allclose(without.rows()[0], with_pad.rows()[0], rtol=1e-4, atol=1e-5)
    assert bare.pad_token is None


def test_the_tokenizer_is_never_changed():
    model, tokenizer = tiny("llama")
    before = tokenizer.backend_tokenizer.to_str()
    collect(model, biographies(10), **COLUMNS, tokenizer=tokenizer, max_length=5)
    assert tokenizer.backend_tokenizer.to_str() == before


def test_several_layers_in_one_pass_are_those_of_single_passes():
    model, tokenizer = tiny("gpt2")
    data = biographies(20)
    together = collect(model, data, **COLUMNS, tokenizer=tokenizer, site="mlp_output", layers="all")
    assert list(together) == [0, 1, 2] and together.hidden_size == 16
    for layer in range(3):
        alone = collect(
            model, data, **COLUMNS, tokenizer=tokenizer, site="mlp_output", layers=layer
        )
        np.testing.assert_array_equal(alone[layer].means, together[layer].means)
        np.testing.assert_array_equal(alone[layer].covariances, together[layer].covariances)


def test_one_forward_pass_a_batch_and_none_beyond_the_deepest_layer():
    model, tokenizer = tiny("llama")
    ran = []
    for name in ("model.layers.1", "model.layers.2", "lm_head"):
        module = dict(model.named_modules())[name]
        module.register_forward_hook(lambda m, args, out, name=name: ran.append(name))
    collect(
        model, biographies(20), **COLUMNS, tokenizer=tokenizer, site="residual", layers=[0, 1],
        batch_size=5,
    )  # fmt: skip
    assert ran.count("model.layers.1") <= 4  # the hook that stops may come before this one
    assert "model.layers.2" not in ran and "lm_head" not in ran


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_the_model_is_bit_equal_and_in_its_mode_afterwards(kind):
    model, tokenizer = tiny(kind)
    one = tokenizer("she works as a nurse", return_tensors="pt")
    with torch.no_grad():
        before = model(**one)[0]
    model.train()
    model.get_input_embeddings().eval()
    modes = [m.training for m in model.modules()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    collect(model, biographies(10), **COLUMNS, tokenizer=tokenizer, site="residual", layers=1)
    assert [m.training for m in model.modules()] == modes
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()] == hooks
    with torch.no_grad():
        assert torch.equal(model.eval()(**one)[0], before)


def test_dropout_is_off_while_a_model_in_training_is_read():
    model, tokenizer = tiny("bert", hidden_dropout_prob=0.5)
    data = biographies(10)
    calm = rows_of(model.eval(), data, tokenizer)
    trained = rows_of(model.train(), data, tokenizer)
    np.testing.assert_array_equal(trained.rows()[0], calm.rows()[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_models_are_summed_in_float64(dtype):
    model, tokenizer = tiny("llama")
    model = model.to(dtype)
    data = biographies(30)
    found = collect(
        model, data, **COLUMNS, tokenizer=tokenizer, batch_size=6, covariance="full",
        positions="mean", rows="memory",
    )  # fmt: skip
    assert found.dtype == str(dtype).removeprefix("torch.")
    X = found.rows()[0]
    assert X.dtype == np.float32
    # what was kept is float32, what was summed float64
    assert_moments(found[None], X.astype(float), data, rtol=1e-5, atol=1e-5)
    # a mean in the model's own precision would be off by its eps
    encoded = encoded_one_by_one("llama", tokenizer, data["bio"])
    exact = hidden_rows(model, "llama", encoded, site="head_input", layer=None, positions="mean")
    assert np.abs(X - exact).max() < 4 * torch.finfo(dtype).eps * np.abs(exact).max()


def test_the_mean_over_tokens_is_not_rounded_to_the_models_dtype():
    model, tokenizer = tiny("llama")
    found = rows_of(model.to(torch.bfloat16), biographies(30), tokenizer, positions="mean")
    X = torch.from_numpy(found.rows()[0])
    assert (X.to(torch.bfloat16).to(torch.float32) != X).float().mean() > 0.5


def test_a_function_weighs_the_tokens_and_is_divided_by_its_sum():
    model, tokenizer = tiny("llama")
    model = model.double()
    data = biographies(12)

    def second_half(attention_mask, input_ids):
        assert input_ids.shape == attention_mask.shape
        place = attention_mask.cumsum(1)
        return 3.0 * attention_mask * (place > place.max(dim=1, keepdim=True).values // 2)

    found = rows_of(model, data, tokenizer, positions=second_half, site="residual", layers=2)
    assert found.positions.endswith("second_half")
    encoded = encoded_one_by_one("llama", tokenizer, data["bio"])
    for i, one in enumerate(encoded):
        tokens = one_hidden_state(model, one, RESIDUAL["llama"].format(2))
        expected = tokens[len(tokens) // 2 :].mean(axis=0)
        np.testing.assert_allclose(found.rows(2)[0][i], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("positions", ["last", "mean", "cls"])
def test_padding_that_holds_nan_stays_out(positions):
    hidden = torch.arange(24.0).reshape(2, 4, 3)
    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]])
    spoiled = hidden.masked_fill(mask[:, :, None] == 0, float("nan"))
    found = pool(spoiled, positions, attention_mask=mask, input_ids=None)
    expected = {
        "last": [hidden[0, 2], hidden[1, 3]],
        "cls": [hidden[0, 0], hidden[1, 1]],
        "mean": [hidden[0, :3].mean(0), hidden[1, 1:].mean(0)],
    }[positions]
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, torch.stack(expected).double())


def test_a_tokenizer_that_does_not_say_what_it_cut_is_asked_again():
    _, tokenizer = tiny("llama")
    batcher = TextBatcher(tokenizer, 6, frozenset({"input_ids"}), "test")
    texts = ["nurse " * 9, "a", tokenizer.decode(tokenizer("nurse " * 9)["input_ids"][1:6])]
    encoded = batcher.encode([Example(i, text, None, None) for i, text in enumerate(texts)])
    assert [len(e["input_ids"]) for e in encoded] == [6, 2, 6]
    assert batcher.n_truncated == 1
    assert batcher._count_cut(None, texts, encoded) == 1
