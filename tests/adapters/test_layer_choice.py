"""`choose_layer` scores what a loop over pairs with hand-written hooks scores, and finds it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isonomy.adapters import LayerChoice, choose_layer, layer_profile
from isonomy.adapters._layer._pairs import draw_pairs, margins
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._model._layout import blocks
from reference.layer_lens import interchanged
from tiny_biographies import biographies, pictures
from tiny_models import N_BLOCKS, save_tiny, tiny

CLASSES = ["nurse", "engineer", "professor"]
# each word's first token is its own
WORDS = ["n", "c", "law"]
PLACES = {"text": "bio", "label": "job", "classes": CLASSES}
MODELS = [
    ("llama", "causal"),
    ("gpt2", "causal"),
    ("gpt2", "classification"),
    ("bert", "classification"),
    ("clip_vision", "classification"),
]


def rows(kind: str, n: int = 24) -> dict[str, list[Any]]:
    data = pictures(n) if kind == "clip_vision" else biographies(n)
    return {name: data[name] for name in ("bio", "job")}


def chosen(task: str, model: Any, reader: Any, data: Any, **options: Any) -> LayerChoice:
    words = {"label_words": WORDS} if task == "causal" else {}
    return choose_layer(
        model, data, **{**PLACES, "tokenizer": reader, "batch_size": 4, **words, **options}
    )


def single(kind: str, task: str, reader: Any, text: Any) -> dict[str, Any]:
    if kind == "clip_vision":
        return dict(reader(images=[text], return_tensors="pt"))
    return dict(reader(f"{text}\nLabel:" if task == "causal" else text, return_tensors="pt"))


def read_at(kind: str, task: str, inputs: dict[str, Any]) -> list[int]:
    """The tokens from which the answer is read, by hand for every family."""
    if kind == "clip_vision":  # the mean of the four patches behind the first token
        return [1, 2, 3, 4]
    return [0] if kind == "bert" else [inputs["input_ids"].shape[1] - 1]


def answer_of(task: str, reader: Any) -> Any:
    if task != "causal":
        return lambda output: output.logits[0].tolist()
    ids = [reader(f" {w}", add_special_tokens=False)["input_ids"][0] for w in WORDS]
    assert len(set(ids)) == 3
    return lambda output: [float(output.logits[0, -1, k]) for k in ids]


def literal(
    kind: str, task: str, model: Any, reader: Any, data: Any, *, whole: bool = False
) -> tuple[np.ndarray, int]:
    """Return mean scores one pair at a time, over the pairs that the rule draws."""
    answer = answer_of(task, reader)
    inputs = [single(kind, task, reader, text) for text in data["bio"]]
    codes = [(CLASSES.index(job),) for job in data["job"]]
    with torch.no_grad():
        scores = [answer(model(**x)) for x in inputs]
    own = [s[c] - max(v for k, v in enumerate(s) if k != c)
           for s, (c,) in zip(scores, codes, strict=True)]  # fmt: skip
    pairs = draw_pairs(np.array(own), codes, 128, random_state=0, where="f")
    found = [
        interchanged(
            model, [b for _, b in blocks(model)], inputs[i], inputs[j],
            at_biased=read_at(kind, task, inputs[i]), at_well=read_at(kind, task, inputs[j]),
            answer=answer, whole=whole,
        )
        for i, j in zip(pairs.biased, pairs.well, strict=True)
    ]  # fmt: skip
    return np.mean(found, axis=0), len(found)


@pytest.mark.parametrize(("kind", "task"), MODELS)
def test_interchange_is_that_of_single_pairs_with_hooks_written_by_hand(
    kind: str, task: str
) -> None:
    model, reader = tiny(kind, task=task)
    data = rows(kind)
    found = chosen(task, model, reader, data)
    expected, n_pairs = literal(kind, task, model, reader, data)
    # divergences are second order in logits that float32 has to 1e-6: hence the absolute bound
    np.testing.assert_allclose(found.scores, expected, rtol=2e-3, atol=1e-8)
    assert found.layer == int(np.argmax(expected)) and found.n_pairs == n_pairs > 5
    assert (found.method, found.n_rows, found.scores.shape) == ("interchange", 24, (N_BLOCKS,))
    assert (found.scores >= -1e-12).all()


def planted(weights: list[float], seed: int) -> Any:
    """Return a model whose layers all write the same, each times its weight.

    Every block has the weights of the first and an MLP that writes nothing. What they write
    is small beside the embeddings, so that what they read hardly changes on the way.
    """
    model, reader = tiny("llama", num_hidden_layers=len(weights), seed=seed)
    first = {name: value.clone() for name, value in blocks(model)[0][1].state_dict().items()}
    first["mlp.down_proj.weight"].zero_()
    with torch.no_grad():
        # of all states the scale, which the norms before each block take out again
        model.get_input_embeddings().weight.mul_(100.0)
        for weight, (_, block) in zip(weights, blocks(model), strict=True):
            block.load_state_dict(first)
            block.self_attn.o_proj.weight.mul_(weight)
    return model, reader


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("where", [1, 2])
def test_the_layer_that_writes_the_bias_is_found_where_a_swap_of_states_takes_the_last(
    where: int, seed: int
) -> None:
    weights = [3.0 if i == where else 1.0 for i in range(4)]
    model, reader = planted(weights, seed)
    data = rows("llama", 16)
    found = chosen("causal", model, reader, data)
    # layer l changes the logits by w_l delta, and a divergence is quadratic in small changes
    own = np.square(weights)
    np.testing.assert_allclose(found.scores / found.scores.sum(), own / own.sum(), rtol=0.1)
    assert found.layer == where
    # a swap of whole states carries over what all layers up to there wrote
    whole, _ = literal("llama", "causal", model, reader, data, whole=True)
    up_to = np.square(np.cumsum(weights))
    np.testing.assert_allclose(whole / whole.sum(), up_to / up_to.sum(), rtol=0.1)
    assert int(np.argmax(whole)) == 3


def test_layers_that_write_nothing_score_nothing() -> None:
    model, reader = tiny("llama", task="classification")
    with torch.no_grad():
        for _, block in blocks(model)[1:]:
            block.mlp.down_proj.weight.zero_()
            block.self_attn.o_proj.weight.zero_()
    found = chosen("classification", model, reader, rows("llama"))
    assert found.layer == 0
    np.testing.assert_array_equal(found.scores[1:], 0.0)


@pytest.mark.parametrize(("kind", "task"), [("llama", "causal"), ("bert", "classification")])
def test_pairs_are_the_same_for_the_same_seed_however_they_are_batched(
    kind: str, task: str
) -> None:
    model, reader = tiny(kind, task=task)
    data = rows(kind)
    first = chosen(task, model, reader, data, n_pairs=6)
    again = chosen(task, model, reader, data, n_pairs=6, batch_size=32)
    np.testing.assert_allclose(again.scores, first.scores, rtol=2e-3, atol=1e-8)
    assert again.n_pairs == first.n_pairs == 6
    other = chosen(task, model, reader, data, n_pairs=6, random_state=1)
    assert not np.allclose(other.scores, first.scores, rtol=1e-2, atol=0)


@given(st.data())
def test_pairs_put_a_well_answered_text_beside_a_badly_answered_one(data: Any) -> None:
    n = data.draw(st.integers(2, 30))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    margin = rng.normal(size=n)
    margin[0], margin[1] = 1.0, -1.0
    margin[rng.random(n) < 0.1] = np.nan
    codes = [(int(c),) for c in rng.integers(0, 3, n)]
    if not (margin > 0).any() or np.nanmin(margin) > 0:
        return
    pairs = draw_pairs(margin, codes, 8, random_state=3, where="f")
    assert 1 <= len(pairs.biased) <= 8 and len(set(pairs.biased)) == len(pairs.biased)
    right = margin[margin > 0]
    low = np.nanquantile(margin, 0.25)
    for i, j in zip(pairs.biased, pairs.well, strict=True):
        assert margin[i] < 0 or margin[i] <= low
        assert margin[j] >= np.median(right) and i != j
        alike = [k for k in range(n) if margin[k] >= np.median(right) and codes[k] == codes[i]]
        assert codes[i] == codes[j] or not alike
    same = sum(codes[i] == codes[j] for i, j in zip(pairs.biased, pairs.well, strict=True))
    assert pairs.n_same_label == same


def test_margins_of_texts_with_several_labels_or_none() -> None:
    scores = np.array([[1.0, 4.0, 2.0]] * 4)
    carried = np.array([[0, 1, 0], [1, 1, 0], [0, 0, 0], [1, 1, 1]], dtype=float)
    np.testing.assert_array_equal(margins(scores, carried), [2.0, -1.0, np.nan, np.nan])


def test_the_largest_rise_of_propensity() -> None:
    model, reader = tiny("llama", task="classification")
    data = rows("llama")
    found = chosen("classification", model, reader, data, method="propensity_increment")
    profile = layer_profile(model, data, tokenizer=reader, **PLACES)
    rise = [b - a for a, b in zip(profile.propensity, profile.propensity[1:], strict=False)]
    np.testing.assert_allclose(found.scores[1:], rise, rtol=1e-5)
    assert np.isnan(found.scores[0]) and found.layer == 1 + int(np.argmax(rise))
    assert (found.n_rows, found.n_pairs) == (24, 0)
    one, _ = tiny("llama", task="classification", num_hidden_layers=1)
    assert chosen("classification", one, reader, data, method="propensity_increment").layer == 0


def test_the_middle_and_the_sweep_read_no_data(tmp_path: Any) -> None:
    model, _ = tiny("bert")  # not even an answer is needed
    middle = choose_layer(model, classes=CLASSES, method="middle")
    assert (middle.layer, middle.method) == (N_BLOCKS // 2, "middle")
    assert np.isnan(middle.scores).all() and middle.to_dict()["scores"] == [None] * N_BLOCKS
    folder = str(save_tiny("llama", tmp_path / "m"))
    assert choose_layer(folder, classes=CLASSES, method="middle").layer == 1
    seen: list[int] = []
    done: list[Any] = []

    def evaluate(layer: int) -> float:
        seen.append(layer)
        return [0.2, 0.7, 0.7][layer]

    swept = choose_layer(
        model, classes=CLASSES, method="sweep", evaluate=evaluate,
        progress=lambda *a: done.append(a),
    )  # fmt: skip
    assert seen == [0, 1, 2] and done == [(1, 3), (2, 3), (3, 3)]
    # of equals the lower one
    assert swept.layer == 1 and swept.scores.tolist() == [0.2, 0.7, 0.7]


def test_a_choice_is_told_in_words() -> None:
    scores = np.array([0.1, 0.25])
    said = {m: str(LayerChoice(1, m, scores, 7)) for m in ("interchange", "sweep", "middle")}
    assert said["interchange"].endswith("by 0.25 nats in the mean over 7 pairs of texts.")
    assert "the best of all by `evaluate`, 0.25" in said["sweep"]
    assert said["middle"] == "Layer 1 of 2 (from 0), the middle one."
    plain = LayerChoice(1, "propensity_increment", scores, n_rows=3).to_dict()
    assert plain["layer"] == 1 and plain["scores"] == [0.1, 0.25] and "0.25" in plain["sentence"]


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(("kind", "task"), [("gpt2", "causal"), ("bert", "classification")])
def test_the_model_comes_back_as_it_was(kind: str, task: str, fails: bool) -> None:
    model, reader = tiny(kind, task=task)
    model.train()
    probe = reader("She works as a nurse.", return_tensors="pt")
    with torch.no_grad():
        before = model(**probe).logits
    kept = [set(m.__dict__) for m in model.modules()]
    if fails:
        calls: list[int] = []

        def burst(*_: Any) -> None:
            calls.append(1)
            if len(calls) == 20:  # an intervened pass, in which this block runs
                raise RuntimeError("burst")

        handle = blocks(model)[2][1].register_forward_hook(burst)
        with pytest.raises(RuntimeError, match="burst"):
            chosen(task, model, reader, rows(kind))
        handle.remove()
    else:
        chosen(task, model, reader, rows(kind))
    assert all(m.training for m in model.modules())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert [set(m.__dict__) for m in model.modules()] == kept
    assert all(p.grad is None for p in model.parameters())
    with torch.no_grad():
        assert torch.equal(model(**probe).logits, before)


def test_progress_counts_pairs() -> None:
    model, reader = tiny("llama", task="classification")
    seen: list[Any] = []
    chosen("classification", model, reader, rows("llama"), n_pairs=6,
           progress=lambda *a: seen.append(a))  # fmt: skip
    assert seen == [(4, 6), (6, 6)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "guess"}, "`method` of `choose_layer` must be one of"),
        ({"method": "sweep"}, "`evaluate` of `choose_layer` goes with"),
        ({"evaluate": float}, "`evaluate` of `choose_layer` goes with"),
        ({"n_pairs": 0}, "`n_pairs` of `choose_layer` must be a whole number of at least 1"),
        ({"several_tokens": "first"}, "`several_tokens` of `choose_layer` must be one of"),
        ({"method": "sweep", "evaluate": lambda layer: np.nan}, "finite number .* for layer 0"),
        ({"method": "sweep", "evaluate": lambda layer: "high"}, "got 'high' for layer 0"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], message: str) -> None:
    model, reader = tiny("llama", task="classification")
    with pytest.raises(InvalidInputError, match=message):
        chosen("classification", model, reader, rows("llama"), **options)


def test_data_without_a_rightly_or_a_badly_answered_text_are_refused() -> None:
    model, reader = tiny("llama", task="classification")
    with torch.no_grad():
        said = int(model(**reader("code", return_tensors="pt")).logits.argmax())
    wrong = {"bio": ["code"] * 3, "job": [(said + 1) % 3] * 3}
    with pytest.raises(InvalidInputError, match="classifies rightly, but it misses all 3"):
        chosen("classification", model, reader, wrong)
    alike = {"bio": ["code"] * 3, "job": [said] * 3}
    with pytest.raises(InvalidInputError, match="all 3 have the same margin"):
        chosen("classification", model, reader, alike)
