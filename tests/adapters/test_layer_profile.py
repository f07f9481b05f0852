"""`layer_profile` gives what a loop over single texts with hand-written lenses gives."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isonomy.adapters import LayerProfile, layer_profile
from isonomy.adapters._layer._label_means import LabelMeans
from isonomy.adapters.heads import LabelWords
from isonomy.errors import (
    CorruptArtefactError,
    InvalidInputError,
    OutputError,
    UndefinedRateWarning,
)
from isonomy.hidden_states._model._layout import blocks
from reference.layer_lens import profile, std, written_by_blocks
from tiny_biographies import biographies, pictures
from tiny_models import N_BLOCKS, save_tiny, tiny

CLASSES = ["nurse", "engineer", "professor"]
# the second and third begin with one token that they share, so that their second one is read
WORDS = {"nurse": "n", "engineer": "engineer", "professor": "law"}
PLACES = {"text": "bio", "label": "job"}
MODELS = [
    ("llama", "causal"),
    ("mistral", "causal"),
    ("gpt2", "causal"),
    ("llama", "classification"),
    ("gpt2", "classification"),
    ("bert", "classification"),
    ("roberta", "classification"),
    ("clip_vision", "classification"),
]
# float32 passes of other shapes; the sums are float64
CLOSE = {"rtol": 1e-4, "atol": 2e-5}


def last(hidden: Any) -> Any:
    return hidden[:, -1]


# what stands behind the last block, written out by hand for every family
LENSES: dict[tuple[str, str], Any] = {
    ("llama", "causal"): lambda m, h: m.lm_head(m.model.norm(last(h))),
    ("mistral", "causal"): lambda m, h: m.lm_head(m.model.norm(last(h))),
    ("gpt2", "causal"): lambda m, h: m.lm_head(m.transformer.ln_f(last(h))),
    ("llama", "classification"): lambda m, h: m.score(m.model.norm(last(h))),
    ("gpt2", "classification"): lambda m, h: m.score(m.transformer.ln_f(last(h))),
    ("bert", "classification"): lambda m, h: m.classifier(m.bert.pooler(h)),
    ("roberta", "classification"): lambda m, h: m.classifier(h),
    ("clip_vision", "classification"): lambda m, h: m.classifier(h[:, 1:].mean(dim=1)),
}


def rows(kind: str, n: int = 12) -> dict[str, list[Any]]:
    data = pictures(n) if kind == "clip_vision" else biographies(n)
    return {name: data[name] for name in ("bio", "job")}


def label_ids(tokenizer: Any, words: dict[str, str] = WORDS) -> list[int]:
    """Return the token that tells each word from the others, found by reading the tokens."""
    whole = [tokenizer(f" {words[c]}", add_special_tokens=False)["input_ids"] for c in CLASSES]
    assert whole[0][0] != whole[1][0] == whole[2][0] and whole[1][1] != whole[2][1]
    return [whole[0][0], whole[1][1], whole[2][1]]


def one_by_one(kind: str, task: str, model: Any, reader: Any, data: Any) -> Any:
    """Return ``scores[text][layer][label]`` and the model's own answer ``[text][label]``."""
    scores, answers = [], []
    for text in data["bio"]:
        if kind == "clip_vision":
            inputs = dict(reader(images=[text], return_tensors="pt"))
        else:
            prompt = f"{text}\nLabel:" if task == "causal" else text
            inputs = dict(reader(prompt, return_tensors="pt"))
        ids = label_ids(reader) if task == "causal" else range(3)
        seen = written_by_blocks(model, [b for _, b in blocks(model)], inputs)
        with torch.no_grad():
            lens = [LENSES[kind, task](model, wrote)[0] for _, wrote in seen]
            logits = model(**inputs).logits[0]
        own = logits[-1] if task == "causal" else logits
        scores.append([[float(z[k]) for k in ids] for z in lens])
        answers.append([float(own[k]) for k in ids])
    return scores, answers


def measured(kind: str, task: str, model: Any, reader: Any, data: Any, **options: Any) -> Any:
    words = {"label_words": WORDS} if task == "causal" else {}
    places = {**PLACES, "classes": CLASSES, "tokenizer": reader, "batch_size": 5}
    return layer_profile(model, data, **{**places, **words, **options})


@pytest.mark.parametrize(("kind", "task"), MODELS)
def test_means_are_those_of_a_loop_over_single_texts(kind: str, task: str) -> None:
    model, reader = tiny(kind, task=task)
    data = rows(kind)
    labels = [[CLASSES.index(job)] for job in data["job"]]
    scores, answers = one_by_one(kind, task, model, reader, data)
    found = measured(kind, task, model, reader, data)
    h_c, h_n = profile(scores, labels, 3)
    np.testing.assert_allclose(found.label_mean, h_c, **CLOSE)
    np.testing.assert_allclose(found.rest_mean, h_n, **CLOSE)
    assert found.layers == tuple(range(N_BLOCKS)) and found.n_rows == 12
    assert found.n.tolist() == [data["job"].count(c) for c in CLASSES]
    np.testing.assert_allclose(found.propensity, [std(layer) for layer in h_n], **CLOSE)
    rise = [[c - n for c, n in zip(*both, strict=True)] for both in zip(h_c, h_n, strict=True)]
    np.testing.assert_allclose(found.discriminability_mean, [sum(r) / 3 for r in rise], **CLOSE)
    np.testing.assert_allclose(found.discriminability_std, [std(r) for r in rise], **CLOSE)
    np.testing.assert_allclose(found.discriminability_min, [min(r) for r in rise], **CLOSE)
    # the last lens is the model's own answer
    own_c, own_n = profile([[a] for a in answers], labels, 3)
    np.testing.assert_allclose(found.label_mean[-1], own_c[0], **CLOSE)
    np.testing.assert_allclose(found.rest_mean[-1], own_n[0], **CLOSE)


@pytest.mark.parametrize(("kind", "task"), [("gpt2", "causal"), ("bert", "classification")])
def test_batches_and_the_order_of_rows_change_nothing(kind: str, task: str) -> None:
    model, reader = tiny(kind, task=task)
    data = rows(kind)
    whole = measured(kind, task, model, reader, data, batch_size=32)
    turned = {name: column[::-1] for name, column in data.items()}
    for found in (
        measured(kind, task, model, reader, data, batch_size=1),
        measured(kind, task, model, reader, iter(records(turned)), batch_size=7),
    ):
        np.testing.assert_allclose(found.label_mean, whole.label_mean, **CLOSE)
        np.testing.assert_allclose(found.rest_mean, whole.rest_mean, **CLOSE)


def records(data: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(data, values, strict=True)) for values in zip(*data.values(), strict=True)]


@given(st.data())
def test_running_sums_are_the_means_over_all_rows_however_they_are_cut(data: Any) -> None:
    n, k, n_layers = (data.draw(st.integers(1, most)) for most in (12, 4, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    scores, carried = rng.normal(size=(n, n_layers, k)), rng.integers(0, 2, (n, k)).astype(float)
    cut = data.draw(st.integers(0, n))
    means = LabelMeans(n_layers, k)
    for part in (slice(0, cut), slice(cut, n)):
        means.add(list(scores[part].transpose(1, 0, 2)), carried[part])
    labels = [np.flatnonzero(row).tolist() for row in carried]
    expected = profile(scores.tolist(), labels, k)
    if np.isnan(expected).any():
        with pytest.warns(UndefinedRateWarning):
            found = means.means([str(i) for i in range(k)], where="f")
    else:
        found = means.means([str(i) for i in range(k)], where="f")
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_a_text_may_carry_several_labels_or_none() -> None:
    model, reader = tiny("llama", task="classification")
    data = rows("llama", 6)
    labels: list[Any] = [["nurse", "engineer"], [], [2], np.array([0, 2]), ("professor",), 1]
    codes = [[0, 1], [], [2], [0, 2], [2], [1]]
    scores, _ = one_by_one("llama", "classification", model, reader, data)
    found = measured("llama", "classification", model, reader, {**data, "job": labels})
    h_c, h_n = profile(scores, codes, 3)
    np.testing.assert_allclose(found.label_mean, h_c, **CLOSE)
    np.testing.assert_allclose(found.rest_mean, h_n, **CLOSE)
    assert found.n.tolist() == [2, 2, 3] and found.n_rows == 6


def test_a_label_without_texts_is_undefined_and_counts_for_nothing() -> None:
    model, reader = tiny("llama", task="classification")
    data = {"bio": ["a nurse", "code", "the law"], "job": [0, 1, 0]}
    with pytest.warns(UndefinedRateWarning, match="`layer_profile`: no text carries 'professor'"):
        found = measured("llama", "classification", model, reader, data)
    assert np.isnan(found.label_mean[:, 2]).all() and not np.isnan(found.rest_mean).any()
    rise = (found.label_mean - found.rest_mean)[:, :2]
    np.testing.assert_allclose(found.discriminability_min, rise.min(axis=1))
    np.testing.assert_allclose(found.discriminability_std, rise.std(axis=1))
    with pytest.warns(UndefinedRateWarning, match="every text carries 'nurse'"):
        one = measured("llama", "classification", model, reader, {"bio": ["a"], "job": [[0]]})
    assert np.isnan(one.discriminability_mean).all() and not np.isnan(one.propensity).any()
    assert one.to_dict()["discriminability_min"] == [None] * N_BLOCKS


def test_what_is_read_of_a_label_is_said() -> None:
    model, reader = tiny("llama")
    data = rows("llama")
    found = measured("llama", "causal", model, reader, data)
    ids = label_ids(reader)
    assert found.label_tokens == tuple((t,) for t in reader.convert_ids_to_tokens(ids))
    assert (found.kind, found.several_tokens) == ("label_words", "distinguishing")
    assert found.template == "{text}\nLabel: {label}"
    assert measured("bert", "classification", *tiny("bert", task="classification"), data) \
        .label_tokens == ()  # fmt: skip


def test_the_mean_over_the_tokens_of_a_label() -> None:
    model, reader = tiny("gpt2")
    data = rows("gpt2", 6)
    whole = [reader(f" {WORDS[c]}", add_special_tokens=False)["input_ids"] for c in CLASSES]
    found = measured("gpt2", "causal", model, reader, data, several_tokens="mean")
    scores = []
    for text in data["bio"]:
        with torch.no_grad():
            z = model(**reader(f"{text}\nLabel:", return_tensors="pt")).logits[0, -1]
        scores.append([[sum(float(z[t]) for t in tokens) / len(tokens) for tokens in whole]])
    h_c, h_n = profile(scores, [[CLASSES.index(j)] for j in data["job"]], 3)
    np.testing.assert_allclose(found.label_mean[-1], h_c[0], **CLOSE)
    np.testing.assert_allclose(found.rest_mean[-1], h_n[0], **CLOSE)
    assert [len(t) for t in found.label_tokens] == [len(t) for t in whole]


# the first token is shared by two and two, the second too
PAIRED = {"nurse": "xq", "engineer": "xz", "professor": "jq", "surgeon": "jz"}


def paired(rule: str) -> LayerProfile:
    data = rows("llama")
    data["job"] = [list(PAIRED)[i % 4] for i in range(12)]
    model, reader = tiny("llama")
    options: Any = {"template": "{text}={label}", "several_tokens": rule, "label_words": PAIRED}
    return layer_profile(model, data, classes=list(PAIRED), tokenizer=reader, **PLACES, **options)


def test_labels_that_would_be_read_at_one_token_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="`label_words` of `layer_profile` must give every"):
        paired("distinguishing")
    model, reader = tiny("llama")
    with pytest.raises(InvalidInputError, match="'law' and 'law' are the same to this tokenizer"):
        measured("llama", "causal", model, reader, rows("llama"), label_words=["law", "law", "n"])
    with pytest.raises(InvalidInputError, match="'qx' and 'xq' are both read at the tokens"):
        measured("llama", "causal", model, reader, rows("llama"), several_tokens="mean",
                 label_words=["xq", "qx", "n"], template="{text}={label}")  # fmt: skip


def test_the_mean_is_taken_where_no_token_is_a_labels_own() -> None:
    found, mean = paired("auto"), paired("mean")
    assert found.several_tokens == "mean"
    assert [len(t) for t in found.label_tokens] == [2] * 4
    np.testing.assert_array_equal(found.label_mean, mean.label_mean)


def test_what_all_labels_begin_with_belongs_to_the_prompt() -> None:
    model, reader = tiny("llama")
    data = rows("llama", 4)
    data["job"] = [0, 1, 2, 0]
    found = measured("llama", "causal", model, reader, data,
                     label_words=["xq", "xz", "xj"], template="{text}={label}")  # fmt: skip
    ids = [reader(letter, add_special_tokens=False)["input_ids"][0] for letter in "qzj"]
    scores = []
    for text in data["bio"]:
        with torch.no_grad():
            z = model(**reader(f"{text}=x", return_tensors="pt")).logits[0, -1]
        scores.append([[float(z[k]) for k in ids]])
    h_c, _ = profile(scores, [[k] for k in data["job"]], 3)
    np.testing.assert_allclose(found.label_mean[-1], h_c[0], **CLOSE)


def test_a_head_of_label_words_brings_its_words_and_prompt() -> None:
    model, reader = tiny("llama")
    classes, data = ["nurse", "attorney", "surgeon"], rows("llama")
    data["job"] = [["nurse", "attorney", "surgeon"][i % 3] for i in range(12)]
    template = "Text: {text} Job: {label}."
    plain = layer_profile(
        model, data, classes=classes, tokenizer=reader, template=template, **PLACES
    )
    head = LabelWords(model, reader, classes, template=template)
    found = layer_profile(head, data, classes=classes, template=template, **PLACES)
    assert (found.template, found.label_tokens) == (template, plain.label_tokens)
    np.testing.assert_allclose(found.label_mean, plain.label_mean, **CLOSE)
    with pytest.raises(InvalidInputError, match="`classes` of `layer_profile` must be that of the"):
        layer_profile(head, data, classes=classes[::-1], **PLACES)
    with pytest.raises(InvalidInputError, match="`template` of `layer_profile` must be that of"):
        layer_profile(head, data, classes=classes, template="{text} {label}", **PLACES)


def test_a_text_too_long_loses_its_end_and_keeps_its_prompt() -> None:
    model, reader = tiny("llama")
    long = {"bio": ["law " * 500, "code " * 500], "job": [0, 1]}
    ids = reader("law " * 500 + "\nLabel:")["input_ids"]
    tail = len(reader("\nLabel:", add_special_tokens=False)["input_ids"])
    with pytest.warns(UndefinedRateWarning):
        found = measured("llama", "causal", model, reader, long, max_length=40)
    assert len(ids) > 500 and tail < 40
    # the same prompt, cut by hand: the text's end is missing, the prompt's is not
    with pytest.warns(UndefinedRateWarning):
        short = measured("llama", "causal", model, reader, {"bio": ["law", "code"], "job": [0, 1]})
    assert found.label_tokens == short.label_tokens
    assert not np.allclose(found.label_mean[:, :2], short.label_mean[:, :2])


def test_the_names_of_the_head_say_which_output_is_which_class() -> None:
    model, reader = tiny("bert", task="classification")
    data = rows("bert")
    plain = measured("bert", "classification", model, reader, data)
    model.config.id2label = {0: "professor", 1: "nurse", 2: "engineer"}
    named = layer_profile(
        model, data, classes=["professor", "nurse", "engineer"], tokenizer=reader, **PLACES
    )
    turned = measured("bert", "classification", model, reader, data)
    np.testing.assert_allclose(turned.label_mean[:, [2, 0, 1]], named.label_mean, **CLOSE)
    assert not np.allclose(turned.label_mean, plain.label_mean)


def test_names_that_are_half_those_of_the_head_are_refused_not_read_by_their_order() -> None:
    model, reader = tiny("bert", task="classification")
    model.config.id2label = {0: "professor", 1: "nurse", 2: "engineers"}
    with pytest.raises(InvalidInputError, match="which has no 'engineer' but 'engineers'"):
        measured("bert", "classification", model, reader, rows("bert"))


def test_codes_of_a_data_set_follow_its_names() -> None:
    datasets = pytest.importorskip("datasets")
    model, reader = tiny("llama", task="classification")
    data = rows("llama")
    names = datasets.ClassLabel(names=CLASSES[::-1])
    made = datasets.Dataset.from_dict(
        {"bio": data["bio"], "job": [names.str2int(j) for j in data["job"]]},
        features=datasets.Features({"bio": datasets.Value("string"), "job": names}),
    )
    found = measured("llama", "classification", model, reader, made)
    np.testing.assert_allclose(
        found.label_mean,
        measured("llama", "classification", model, reader, data).label_mean,
        **CLOSE,
    )


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(("kind", "task"), [("llama", "causal"), ("bert", "classification")])
def test_the_model_comes_back_as_it_was(kind: str, task: str, fails: bool) -> None:
    model, reader = tiny(kind, task=task)
    model.train()
    blocks(model)[1][1].eval()  # a mode of its own
    probe = reader("She works as a nurse.", return_tensors="pt")
    with torch.no_grad():
        before = model(**probe).logits
    modes = [m.training for m in model.modules()]
    own = [dict(m.__dict__) for m in model.modules()]
    handle = None
    if fails:
        calls: list[int] = []

        def burst(*_: Any) -> None:
            calls.append(1)
            if len(calls) == 3:  # within a lens, when blocks pass their input on
                raise RuntimeError("burst")

        # of all lenses the module behind the last block
        behind = model.model.norm if kind == "llama" else model.bert.pooler
        handle = behind.register_forward_hook(burst)
        with pytest.raises(RuntimeError, match="burst"):
            measured(kind, task, model, reader, rows(kind))
        handle.remove()
    else:
        measured(kind, task, model, reader, rows(kind))
    assert [m.training for m in model.modules()] == modes
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert [set(m.__dict__) for m in model.modules()] == [set(o) for o in own]
    assert all(p.grad is None for p in model.parameters())
    with torch.no_grad():
        assert torch.equal(model(**probe).logits, before)


def test_adapters_that_do_nothing_yet_change_nothing() -> None:
    model, reader = tiny("llama")
    plain = measured("llama", "causal", model, reader, rows("llama"))
    adapted = peft.get_peft_model(
        copy.deepcopy(model), peft.LoraConfig(target_modules=["q_proj", "down_proj"])
    )
    found = measured("llama", "causal", adapted, reader, rows("llama"))
    np.testing.assert_allclose(found.label_mean, plain.label_mean, **CLOSE)


def test_half_precision_is_summed_in_double() -> None:
    model, reader = tiny("llama", task="classification")
    plain = measured("llama", "classification", model, reader, rows("llama"))
    found = measured("llama", "classification", model.bfloat16(), reader, rows("llama"))
    assert found.label_mean.dtype == np.float64
    # bf16 has 8 bits; logits here are below 2
    np.testing.assert_allclose(found.label_mean, plain.label_mean, atol=0.1)


def test_a_folder_is_loaded(tmp_path: Any) -> None:
    folder = save_tiny("llama", tmp_path / "m")
    found = layer_profile(str(folder), rows("llama"), classes=CLASSES, label_words=WORDS, **PLACES)
    plain = measured("llama", "causal", *tiny("llama"), rows("llama"))
    np.testing.assert_allclose(found.label_mean, plain.label_mean, **CLOSE)


def test_progress_counts_rows() -> None:
    seen: list[Any] = []
    model, reader = tiny("llama", task="classification")
    measured("llama", "classification", model, reader, rows("llama"),
             progress=lambda *a: seen.append(a))  # fmt: skip
    assert seen == [(5, 12), (10, 12), (12, 12)]


PROFILE = LayerProfile(
    (0, 1), ("joy", "fear"), np.array([[1.0, np.nan], [5.0, 4.0]]),
    np.array([[1.0, 2.0], [1.0, 3.0]]), np.array([3, 2]), 5, "label_words",
    (("joy",), ("fe", "ar")), "mean", "{text} {label}",
)  # fmt: skip


def test_json_comes_back_and_broken_files_are_refused(tmp_path: Any) -> None:
    path = PROFILE.save(tmp_path / "p.json")
    again = LayerProfile.load(path)
    assert again.to_dict() == PROFILE.to_dict()
    np.testing.assert_array_equal(again.label_mean, PROFILE.label_mean)
    assert again.label_tokens == PROFILE.label_tokens
    for text in ("{", '{"kind": "audit"}', "[]", '{"kind": "layer_profile", "layers": [0]}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(CorruptArtefactError, match="`LayerProfile.save` wrote as JSON, got"):
            LayerProfile.load(tmp_path / "bad.json")


def test_a_figure_is_drawn_by_its_ending(tmp_path: Any) -> None:
    pytest.importorskip("matplotlib", reason="figures need the extra `report`")
    for ending, head in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        path = PROFILE.save(tmp_path / f"p{ending}")
        assert path.read_bytes()[: len(head)] == head
    with pytest.raises(InvalidInputError, match=r"must end in .json or, for a figure, in .png"):
        PROFILE.save(tmp_path / "p.txt")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match="`path` must be"):
        PROFILE.save(tmp_path / "folder.png")


def test_tables_by_label_and_by_layer() -> None:
    pytest.importorskip("pandas")
    table = PROFILE.to_frame("pandas")
    assert table["label"].tolist() == ["joy", "fear"] * 2 and table["n"].tolist() == [3, 2, 3, 2]
    assert table["discriminability"].tolist()[2:] == [4.0, 1.0]
    by_layer = PROFILE.to_frame("dict", by="layer")
    assert by_layer["layer"] == [0, 1] and by_layer["propensity"] == [0.5, 1.0]
    assert by_layer["discriminability_mean"] == [0.0, 2.5]
    with pytest.raises(InvalidInputError, match="`by` of `LayerProfile.to_frame` must be one of"):
        PROFILE.to_frame(by="class")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="`backend` of `LayerProfile.to_frame` must be"):
        PROFILE.to_frame("excel")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_words": {"nurse": "n"}}, "must name a word for every class, but has none for 'en"),
        ({"label_words": ["a", "b"]}, "must hold one word a class"),
        ({"label_words": ["a", "b", " "]}, "must be words"),
        ({"template": "{text}"}, "`template` of `layer_profile` must hold"),
        ({"several_tokens": "all"}, "`several_tokens` of `layer_profile` must be one of"),
        ({"batch_size": 0}, "`batch_size` of `layer_profile` must be a whole number"),
        ({"max_length": 9999}, "`max_length` of `layer_profile` must be at most"),
        ({"classes": ["nurse"]}, "must name at least 2 classes"),
        ({"tokenizer": None}, "`tokenizer` of `layer_profile` must be a tokenizer"),
        ({"text": "words"}, "has no column 'words'"),
        ({"label": 3}, "`label` of `layer_profile` must be the name of a column"),
    ],
)
def test_wrong_arguments_are_named(changes: dict[str, Any], message: str) -> None:
    model, reader = tiny("llama")
    options = {**PLACES, "classes": CLASSES, "tokenizer": reader, "label_words": WORDS}
    with pytest.raises(InvalidInputError, match=message):
        layer_profile(model, rows("llama"), **{**options, **changes})


@pytest.mark.parametrize(
    ("text", "job", "message"),
    [
        ("code", "dentist", "Row 1 .* has the label 'dentist' in 'job', which must be one of the"),
        ("code", 3, "has the label 3 in 'job'"),
        ("code", -1, "has the label -1"),
        ("code", True, "has the label True"),
        ("code", 0.5, "has the label 0.5"),
        ("code", None, "has the label None"),
        ("code", ["nurse", "x"], "has the label 'x'"),
        ("  ", 0, "Row 1 .* has no text in 'bio'"),
        (math.nan, 0, "has no text"),
        (7, 0, "Row 1 .* must hold a string as its text, got int"),
    ],
)
def test_wrong_rows_are_named(text: Any, job: Any, message: str) -> None:
    model, reader = tiny("llama")
    data = {"bio": ["a", text], "job": ["nurse", job]}
    with pytest.raises(InvalidInputError, match=message):
        measured("llama", "causal", model, reader, data)


def test_models_without_an_answer_are_refused() -> None:
    data = rows("llama")
    for kind, task in (("bert", "masked"), ("llama", "encoder"), ("clip_text", "clip_text")):
        with pytest.raises(InvalidInputError, match="must be a causal language model .* or a"):
            measured(kind, "none", *tiny(kind, task=task), data)
    model, reader = tiny("llama", task="classification")
    with pytest.raises(InvalidInputError, match="it has 3, got 2 classes"):
        measured("llama", "classification", model, reader, data, classes=["nurse", "engineer"])
    with pytest.raises(InvalidInputError, match="`template` of `layer_profile` is for causal"):
        measured("llama", "classification", model, reader, data, template="{text} {label}")
    with pytest.raises(InvalidInputError, match="must have at least one row, got 0"):
        measured("llama", "classification", model, reader, {"bio": [], "job": []})
    model.config.pad_token_id = None
    with pytest.raises(InvalidInputError, match="must name the padding token of its tokenizer"):
        measured("llama", "classification", model, reader, data)
