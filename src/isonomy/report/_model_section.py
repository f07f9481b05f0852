"""The section on a steered language model: what was read where, and what can serve it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isonomy.report._document import Block, Bullets, Code, Fold, Paragraph, Section, Table
from isonomy.report._layer_chart import layer_curves_blocks
from isonomy.report._numbers import UNDEFINED, count, significant

__all__ = ["model_sections", "place_words", "usage_blocks"]

_SITES = {
    "head_input": "the input of the model's head (after its last norm or pooler)",
    "norm_output": "the output of the norm before the attention",
    "mlp_norm_output": "the output of the norm before the MLP",
    "attention_output": "the output of the attention",
    "mlp_output": "the output of the MLP",
    "residual": "the output of the block",
}
_POSITIONS = {
    "last": "the last token of the text",
    "mean": "the mean over the tokens of the text",
    "cls": "the first token of the text",
}


def model_sections(result: Mapping[str, Any]) -> tuple[Section, ...]:
    """Return the section of a result of ``isonomy steer --model``; none for others."""
    found = result.get("steered_model")
    if not isinstance(found, Mapping):
        return ()
    blocks: list[Block] = [Paragraph(_what_was_done(found)), _facts(found)]
    if found.get("choice"):
        blocks += _choice(found["choice"])
    blocks += _serving(found)
    return (Section("model", "The language model", tuple(blocks)),)


def place_words(found: Mapping[str, Any]) -> str:
    """Return where the hidden state is read, in words."""
    site = _SITES.get(str(found.get("site")), str(found.get("site")))
    layer = found.get("layer")
    return site if layer is None else f"{site}, block {layer} of {found.get('n_blocks')} (from 0)"


def _what_was_done(found: Mapping[str, Any]) -> str:
    positions = _POSITIONS.get(str(found.get("positions")), str(found.get("positions")))
    return (
        f"The weights of {found.get('base_model')} stay as they are. Its hidden state is read at "
        f"{place_words(found)}, for {positions}; a linear head learnt the classes from it, and "
        f"steering moves that state before the head decides. {found.get('method_why') or ''}"
    ).strip()


def _facts(found: Mapping[str, Any]) -> Table:
    rows = (
        ("Base model", str(found.get("base_model") or UNDEFINED)),
        ("Revision", str(found.get("revision") or "as found")),
        ("Architecture", str(found.get("architecture") or UNDEFINED)),
        ("Blocks", count(found.get("n_blocks"))),
        ("Hidden size", count(found.get("hidden_size"))),
        ("Numbers it computes in", str(found.get("dtype") or UNDEFINED)),
        ("Texts cut after", _length(found.get("max_length"))),
        ("Group of a text at use", str(found.get("mode") or UNDEFINED)),
    )
    return Table("The model and how it was read", ("What", "Value"), rows, (), (1,))


def _length(value: Any) -> str:
    return f"{count(value)} tokens" if value else "the model's own longest input"


def _choice(choice: Mapping[str, Any]) -> list[Block]:
    blocks: list[Block] = []
    if choice.get("why"):
        blocks.append(Paragraph(str(choice["why"])))
    curves = choice.get("curves")
    if isinstance(curves, Mapping):
        blocks += layer_curves_blocks(curves)
    return blocks


def _serving(found: Mapping[str, Any]) -> list[Block]:
    rows = tuple(
        (str(row["what"]), str(row.get("where") or "not written"), str(row["how"]))
        for row in found.get("serving") or ()
    )
    blocks: list[Block] = []
    if rows:
        caption = "What serves the steered classifier"
        blocks.append(
            Table(caption, ("What", "Where", "How exact, and for whom"), rows, (), (1, 2))
        )
    checked = found.get("verified") or ()
    if checked:
        items = tuple((f"{row['what']}:", _checked(row)) for row in checked)
        blocks.append(Fold("Read back from disk and compared", (Bullets(items),), is_open=True))
    if found.get("files"):
        files = tuple((str(f["name"]), str(f["what"])) for f in found["files"])
        blocks.append(Fold("Files", (Table("Files", ("File", "What it is"), files, (), (1,)),)))
    return [*blocks, *usage_blocks(found)]


def _checked(row: Mapping[str, Any]) -> str:
    return (
        f"{count(row.get('n_same'))} of {count(row.get('n'))} decisions as before writing; scores "
        f"differ by at most {significant(row.get('largest_difference'))}."
    )


def usage_blocks(found: Mapping[str, Any]) -> list[Block]:
    """Return the Python lines that decide on a text: with isonomy, and without where possible."""
    blocks: list[Block] = [Code("In Python, with isonomy", _usage_lines(found))]
    where = [str(row.get("where")) for row in found.get("serving") or ()]
    if "classifier/" not in where:
        return blocks
    lines = [
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer",
        "",
        'model = AutoModelForSequenceClassification.from_pretrained("DIR/classifier")',
        'tokenizer = AutoTokenizer.from_pretrained("DIR/classifier")',
    ]
    if found.get("adapter_folders"):
        lines.insert(0, "from peft import PeftModel")
        adapter, *others = found["adapter_folders"]
        each = "  # one a group: that of the text" if others else ""
        lines.append(f'model = PeftModel.from_pretrained(model, "DIR/adapters/{adapter}"){each}')
    lines += [
        'inputs = tokenizer(["A text to be classified."], return_tensors="pt")',
        "model.config.id2label[int(model(**inputs).logits.argmax())]",
    ]
    return [*blocks, Code("In Python, without isonomy", tuple(lines))]


def _usage_lines(found: Mapping[str, Any]) -> tuple[str, ...]:
    groups: list[Any] = list(found.get("groups") or [])
    needs_group = found.get("mode") == "given" and groups
    given = f", sensitive_features=[{groups[0]!r}]" if needs_group else ""
    return (
        "from isonomy.hidden_states import load_steered_model",
        "",
        'steered = load_steered_model("DIR")  # the folder of this report',
        f'steered.predict(["A text to be classified."]{given})',
    )
