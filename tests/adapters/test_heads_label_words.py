"""Label words answer as one whole sequence per text and label does, however they are computed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from isonomy.adapters._head._label_scores import _READS_BRANCHES, label_scores
from isonomy.adapters._head._label_tree import LabelTree
from isonomy.adapters.heads import LabelWords, lora_model
from isonomy.errors import InvalidInputError, PaddingTokenWarning
from reference.label_words import label_word_logits
from tiny_families import tiny_family
from tiny_models import tiny, tokenizer

TEXTS = [
    "She works as a nurse.",
    "He is a software engineer who writes code for robots in the north of the country.",
    "law",
]
CLASSES = ["nurse", "attorney", "software engineer", "nurse in a hospital", "surgeon"]
PLAIN = ["nurse", "attorney", "surgeon"]
TEMPLATE = "{text}\nLabel: {label}"
# float32 of a few layers; the oracle sums in float64
BOUND = 2e-4


def words(model: Any, reader: Any = None, classes: list[str] = CLASSES, **options: Any) -> Any:
    return LabelWords(model, tokenizer("llama") if reader is None else reader, classes, **options)


def of_family(name: str) -> Any:
    """A decoder of a family with the vocabulary of the tests' tokenizer."""
    if name in ("llama", "gpt2", "mistral"):
        return tiny(name)[0]
    if name == "mistral_window":
        return tiny("mistral", sliding_window=4)[0]
    if name == "falcon_alibi":  # positions as biases, which a tree has none of
        torch.manual_seed(0)
        config = transformers.FalconConfig(
            vocab_size=len(tokenizer("llama")), hidden_size=16, num_hidden_layers=2,
            num_attention_heads=4, alibi=True, bos_token_id=1, eos_token_id=2,
        )  # fmt: skip
        return transformers.FalconForCausalLM(config).eval()
    model = tiny_family(name)
    model.resize_token_embeddings(len(tokenizer("llama")), mean_resizing=False)
    return model


@pytest.fixture(params=["branches", "rows"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of reading labels, for models that can be read by either."""
    if request.param == "rows":
        monkeypatch.setattr(
            "isonomy.adapters._head._label_scores._READS_BRANCHES", frozenset[str]()
        )
    return str(request.param)


def shifted(logits: torch.Tensor) -> torch.Tensor:
    """Probabilities between the labels: tokens that all share are in no sum of ours."""
    return torch.log_softmax(logits.double(), dim=-1).float()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    "family",
    [
        "llama",
        "gpt2",
        "mistral",
        "mistral_window",
        "gpt_neox",
        "opt",
        "falcon",
        "falcon_alibi",
        "bloom",
        "phi",
        "qwen3",
        "mamba",
    ],
)
def test_label_words_equal_whole_sequences_without_padding_or_cache(family: str, side: str) -> None:
    model = of_family(family)
    reader = tokenizer("gpt2" if family == "gpt2" else "llama")
    reader.padding_side = side
    head = words(model, reader)
    found = head(**head.encode(TEXTS)).logits
    wanted = label_word_logits(model, reader, TEXTS, CLASSES, template=TEMPLATE, end=True)
    assert found.dtype == torch.float32
    assert torch.allclose(shifted(found), shifted(wanted), atol=BOUND)


def test_bound_can_tell_a_wrong_score() -> None:
    """Negative control of the bound above: one token too few is far beyond it."""
    model, reader = tiny("llama")
    with_end = label_word_logits(model, reader, TEXTS, PLAIN, template=TEMPLATE, end=True)
    without = label_word_logits(model, reader, TEXTS, PLAIN, template=TEMPLATE, end=False)
    assert (shifted(with_end) - shifted(without)).abs().max() > 100 * BOUND


@pytest.mark.parametrize(
    "template",
    [
        TEMPLATE,
        "Text: {text}\nLabel:\n{label}",
        "{text} is about {label}.",
        "{text}\n\nIt is a {label}\n",
    ],
)
def test_every_template_scores_what_stands_behind_the_prompt(template: str) -> None:
    model, reader = tiny("llama")
    head = words(model, reader, PLAIN, template=template, end=False)
    found = head(**head.encode(TEXTS)).logits
    wanted = label_word_logits(model, reader, TEXTS, PLAIN, template=template, end=False)
    assert torch.allclose(shifted(found), shifted(wanted), atol=BOUND)


def test_logits_are_sums_of_log_probabilities_not_only_up_to_a_constant() -> None:
    model, reader = tiny("llama")
    classes = ["nurse", "attorney", "surgeon"]
    head = words(model, reader, classes, template="{text}:{label}")
    assert head.label_tokens.shared == ()
    found = head(**head.encode(TEXTS)).logits
    wanted = label_word_logits(model, reader, TEXTS, classes, template="{text}:{label}", end=False)
    assert torch.allclose(found, wanted, atol=BOUND)


def test_probabilities_of_all_words_of_a_closed_language_sum_to_one() -> None:
    """Labels that are all continuations of two tokens: the logits are a distribution."""
    model, reader = tiny("llama", vocab_size=320)
    head = words(model, reader, PLAIN, end=False)
    n = model.config.vocab_size
    batch = head.encode(TEXTS)
    tree = LabelTree([(first, second) for first in (7, 9) for second in range(n)])
    with torch.no_grad():
        scores = label_scores(model, batch["input_ids"], batch["attention_mask"], tree)
        firsts = label_scores(
            model, batch["input_ids"], batch["attention_mask"], LabelTree([(7,), (9,)])
        )
    assert torch.allclose(scores.reshape(3, 2, n).logsumexp(-1), firsts, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "attention"),
    [(family, "sdpa") for family in sorted(_READS_BRANCHES - {"falcon"})]
    + [(family, "eager") for family in ("gpt2", "llama", "opt")],
)
def test_families_read_as_branches_equal_the_same_read_as_rows(
    family: str, attention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "head_dim": 4,
             "num_attention_heads": 4, "num_key_value_heads": 4, "word_embed_proj_dim": 16,
             "vocab_size": len(tokenizer("llama")), "ffn_dim": 24}  # fmt: skip
    torch.manual_seed(0)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = transformers.AutoConfig.for_model(family, **sizes, **ids)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    head = words(model.eval())
    batch = head.encode(TEXTS)
    n_calls: list[int] = []
    model.register_forward_hook(lambda *_: n_calls.append(1))
    with torch.no_grad():
        found = head(**batch).logits
        assert len(n_calls) == 1
        monkeypatch.setattr(
            "isonomy.adapters._head._label_scores._READS_BRANCHES", frozenset[str]()
        )
        wanted = head(**batch).logits
    assert len(n_calls) > 1
    assert torch.allclose(found, wanted, atol=1e-5)


def test_single_token_labels_need_no_second_pass(way: str) -> None:
    model, reader = tiny("llama")
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    one = words(model, reader, ["a", "b", "c"], template="{text}:{label}")
    assert {len(tokens) for tokens in one.label_tokens.scored} == {1}
    one(**one.encode(TEXTS))
    assert len(calls) == 1
    several = words(model, reader)
    several(**several.encode(TEXTS))
    assert len(calls) - 1 == (1 if way == "branches" else 2)


def test_prompt_is_read_once_and_common_beginnings_of_labels_once(way: str) -> None:
    model, reader = tiny("llama")
    seen: list[tuple[int, ...]] = []
    model.model.embed_tokens.register_forward_hook(lambda _m, args, _o: seen.append(args[0].shape))
    head = words(model, reader, CLASSES)
    batch = head.encode(TEXTS)
    head(**batch)
    n, n_tokens = batch["input_ids"].shape
    distinct = {t[:i] for t in head.label_tokens.scored for i in range(1, len(t))}
    rows = [t for t in distinct if not any(o != t and o[: len(t)] == t for o in distinct)]
    assert len(rows) < len(CLASSES)  # "nurse" is read with "nurse in a hospital"
    if way == "branches":
        assert seen == [(n, n_tokens + len(distinct))]
    else:
        assert seen == [(n, n_tokens), (n * len(rows), max(map(len, distinct)))]


@pytest.mark.usefixtures("way")
def test_chunks_of_labels_give_the_same_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    model, reader = tiny("llama")
    head = words(model, reader)
    batch = head.encode(TEXTS)
    calls: list[int] = []
    model.register_forward_hook(lambda *_: calls.append(1))
    whole = head(**batch).logits
    n_calls = len(calls)
    for name in ("_MOST_SLOTS", "_MOST_LOGITS", "_FEWEST_NODES"):
        monkeypatch.setattr(f"isonomy.adapters._head._label_scores.{name}", 1)
    found = head(**batch).logits
    assert len(calls) > 2 * n_calls
    assert torch.allclose(found, whole, atol=1e-6)


def test_rows_do_not_depend_on_their_neighbours_in_the_batch() -> None:
    head = words(*tiny("gpt2"))
    together = head(**head.encode(TEXTS)).logits
    alone = torch.cat([head(**head.encode([text])).logits for text in TEXTS])
    assert torch.allclose(together, alone, atol=1e-5)


def gradients(head: Any, batch: Any) -> dict[str, torch.Tensor]:
    head.zero_grad()
    head(**batch, labels=torch.tensor([0, 2, 1])).loss.backward()
    return {n: p.grad.clone() for n, p in head.named_parameters() if p.grad is not None}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_gradients_are_the_same_with_gradient_checkpointing(kind: str) -> None:
    model, reader = tiny(kind)
    adapted = lora_model(model, r=2, random_state=0)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    head = words(adapted, reader).train()
    batch = head.encode(TEXTS)
    cached = gradients(head, batch)
    head.gradient_checkpointing_enable()
    logits = head(**batch).logits
    whole = gradients(head, batch)
    head.gradient_checkpointing_disable()
    assert torch.allclose(head(**batch).logits, logits, atol=1e-5)
    assert set(cached) == set(whole)
    assert all("lora_" in name for name in cached)
    assert len(cached) == sum("lora_" in name for name, _ in head.named_parameters())
    for name, gradient in cached.items():
        assert torch.allclose(gradient, whole[name], atol=1e-4 * float(gradient.abs().max())), name


@pytest.mark.usefixtures("way")
def test_gradient_is_that_of_the_literal_loss() -> None:
    model, reader = tiny("llama")
    head = words(model, reader, end=False, classes=PLAIN).train()
    head(**head.encode(TEXTS), labels=torch.tensor([0, 2, 1])).loss.backward()
    found = model.model.layers[0].self_attn.q_proj.weight.grad.clone()
    model.zero_grad()
    rows = []
    for text in TEXTS:
        prompt = reader(f"{text}\nLabel:")["input_ids"]
        sums = []
        for name in PLAIN:
            whole = reader(f"{text}\nLabel: {name}")["input_ids"]
            logp = torch.log_softmax(model(input_ids=torch.tensor([whole])).logits[0], -1)
            sums.append(sum(logp[t - 1, whole[t]] for t in range(len(prompt), len(whole))))
        rows.append(torch.stack(sums))
    torch.nn.functional.cross_entropy(torch.stack(rows), torch.tensor([0, 2, 1])).backward()
    wanted = model.model.layers[0].self_attn.q_proj.weight.grad
    assert torch.allclose(found, wanted, atol=1e-4 * float(wanted.abs().max()))


def test_bfloat16_is_scored_in_float32() -> None:
    model, reader = tiny("llama")
    exact = words(model, reader)
    wanted = exact(**exact.encode(TEXTS)).logits
    head = words(model.to(torch.bfloat16), reader)
    found = head(**head.encode(TEXTS)).logits
    assert found.dtype == torch.float32
    # 8 bits of mantissa in three blocks; sums of up to 10 tokens
    assert (shifted(found) - shifted(wanted)).abs().max() < 1.0
    assert not torch.equal(found, found.to(torch.bfloat16).float())


def test_length_normalised_divides_by_the_tokens_of_each_label() -> None:
    model, reader = tiny("llama")
    plain, divided = words(model, reader), words(model, reader, length_normalised=True)
    batch = plain.encode(TEXTS)
    n = torch.tensor([len(tokens) for tokens in plain.label_tokens.scored])
    assert len(set(n.tolist())) > 1
    assert torch.allclose(divided(**batch).logits * n, plain(**batch).logits, atol=1e-5)


def test_end_token_lets_a_label_win_that_another_begins_with() -> None:
    """Without it log p("joyful") <= log p("joy") whatever the model thinks."""
    model, reader = tiny("llama")
    head = words(model, reader, ["joy", "joyful"])
    assert head.label_tokens.has_end
    assert all(tokens[-1] == reader.eos_token_id for tokens in head.label_tokens.scored)
    scores = head(**head.encode(TEXTS)).logits
    wanted = label_word_logits(model, reader, TEXTS, ["joy", "joyful"], template=TEMPLATE, end=True)
    assert torch.allclose(shifted(scores), shifted(wanted), atol=BOUND)
    with pytest.raises(InvalidInputError, match="tokens of 'joy' begin those of 'joyful'"):
        words(model, reader, ["joy", "joyful"], end=False)


def test_end_token_is_left_out_where_no_label_begins_another() -> None:
    model, reader = tiny("llama")
    assert not words(model, reader, PLAIN).label_tokens.has_end
    assert words(model, reader, PLAIN, end=True).label_tokens.has_end


def test_labels_are_the_tokens_that_stand_behind_the_cue() -> None:
    model, reader = tiny("llama")
    head = words(model, reader, PLAIN, template="{text} Label: {label}")
    for name, scored in zip(PLAIN, head.label_tokens.scored, strict=True):
        tokens = [*head.label_tokens.shared, *scored]
        assert reader.decode(tokens) == f" {name}"
        assert (
            tokens
            == reader(f"Label: {name}", add_special_tokens=False)["input_ids"][-len(tokens) :]
        )


def test_two_labels_with_the_same_tokens_are_refused_by_name() -> None:
    model, _ = tiny("llama")
    strange = transformers.PreTrainedTokenizerFast(
        tokenizer_object=one_word_tokenizer(), pad_token="<pad>", unk_token="<unk>"
    )
    with pytest.raises(InvalidInputError, match=r"'nurse' and 'dentist' are the same.*\[1\]"):
        words(model, strange, ["nurse", "dentist"])


def one_word_tokenizer() -> Any:
    made = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "law": 2}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def test_long_texts_are_cut_and_the_template_kept() -> None:
    model, reader = tiny("llama")
    head = words(model, reader, max_length=24)
    text = "The surgeon has published many papers and treats patients every day. " * 3
    rows = head.encode([text, "law"], padding=False)["input_ids"]
    assert len(rows[0]) + head.label_tokens.longest - 1 <= 24
    assert reader.decode(rows[0]).startswith("<s>The surg")
    assert reader.decode(rows[0][: len(rows[0]) - len(head.label_tokens.shared)]).endswith("Label:")
    assert rows[1] == words(model, reader).encode(["law"], padding=False)["input_ids"][0]
    with pytest.raises(InvalidInputError, match="`max_length` of `LabelWords` must leave room"):
        words(model, reader, max_length=6).encode([text])


def test_encode_pads_on_the_side_of_the_tokenizer_and_lists_are_not_padded() -> None:
    model, reader = tiny("llama")
    head = words(model, reader)
    lists = head.encode(TEXTS, padding=False)
    for side in ("left", "right"):
        reader.padding_side = side
        batch = head.encode(TEXTS)
        for ids, mask, wanted in zip(*batch.values(), lists["input_ids"], strict=True):
            assert ids[mask.bool()].tolist() == wanted
        assert batch["attention_mask"][2, 0 if side == "left" else -1] == 0


def test_a_tokenizer_without_padding_gets_its_end_of_text_and_says_so() -> None:
    model, reader = tiny("llama")
    wanted = words(model, tokenizer("llama"))
    logits = wanted(**wanted.encode(TEXTS)).logits
    reader.pad_token = None
    with pytest.warns(PaddingTokenWarning, match="no padding token: its end of text, '</s>'"):
        head = words(model, reader)
    assert torch.allclose(head(**head.encode(TEXTS)).logits, logits, atol=1e-6)
    assert model.config.pad_token_id == reader.eos_token_id


def test_without_padding_and_end_of_text_nothing_can_pad() -> None:
    model, reader = tiny("llama")
    reader.pad_token = reader.eos_token = None
    with pytest.raises(InvalidInputError, match="must have a padding token"):
        words(model, reader)
    reader.pad_token = "<pad>"
    with pytest.raises(InvalidInputError, match="must have an end of text"):
        words(model, reader)


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        ([0, 5, 1], "class codes from 0 to 4, got 5"),
        ([0, -100, 1], "got -100"),
        ([0, 1], r"shape \(3,\), got \(2,\)"),
        ([0.0, 1.0, 2.0], "integer type, got torch.float32"),
    ],
)
def test_labels_out_of_range_are_named(labels: list[Any], match: str) -> None:
    head = words(*tiny("llama"))
    with pytest.raises(InvalidInputError, match=f"`labels` .*`LabelWords.forward`.*{match}"):
        head(**head.encode(TEXTS), labels=torch.tensor(labels))


@pytest.mark.parametrize(
    "template", ["{text}", "{label}", "{label} {text}", "{text} {label} {label}", "", None]
)
def test_templates_without_both_places_are_refused(template: Any) -> None:
    with pytest.raises(InvalidInputError, match="`template` of `LabelWords` must hold"):
        words(*tiny("llama"), template=template)


@pytest.mark.parametrize(
    ("classes", "match"),
    [
        (["joy"], "at least 2 classes, got 1"),
        (["joy", "fear", "joy"], "'joy' stands there 2 times"),
        ("joy", "a list of class names"),
        (["joy", 3], r"names \(strings that are not empty\), got 3"),
        (["joy", " "], "got ' '"),
    ],
)
def test_wrong_classes_are_refused(classes: Any, match: str) -> None:
    with pytest.raises(InvalidInputError, match=f"`classes` of `LabelWords` must.*{match}"):
        words(*tiny("llama"), classes=classes)


def test_only_causal_models_have_label_words() -> None:
    with pytest.raises(InvalidInputError, match="must be a causal language model, got a BertModel"):
        words(*tiny("bert"))
    with pytest.raises(InvalidInputError, match="got a T5ForConditionalGeneration"):
        words(tiny_family("t5"))


def test_wrong_texts_are_named() -> None:
    head = words(*tiny("llama"))
    with pytest.raises(InvalidInputError, match="Row 1 of `texts`.*must be a string, got NoneType"):
        head.encode(["law", None])
    for texts in ("law", []):
        with pytest.raises(InvalidInputError, match="must be a list of one text or more"):
            head.encode(texts)


def test_a_label_beyond_the_embeddings_is_refused() -> None:
    model, reader = tiny("llama", vocab_size=64)
    with pytest.raises(InvalidInputError, match="of the label '.*' lies outside its 64 embeddings"):
        words(model, reader)
