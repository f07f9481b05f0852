"""Sections on the training: what was trained how, its course, what it cost, how to use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from isonomy.report._curve_chart import Curve, curve_chart
from isonomy.report._document import Block, Bullets, Chart, Code, Fold, Paragraph, Section, Table
from isonomy.report._numbers import UNDEFINED, count, is_number, number, per_cent, significant

__all__ = ["cost_section", "training_section", "usage_blocks", "usage_section"]

Entry = Mapping[str, Any]


def training_section(result: Entry) -> Section:
    """Return what was trained, from where, by which objective, and how it went."""
    training = result["training"]
    blocks: list[Block] = []
    if training.get("description"):
        blocks.append(Paragraph(str(training["description"])))
    blocks += _course(training)
    blocks.append(Fold("Settings of the training", (_settings(result),), is_open=True))
    start = training.get("start")
    if isinstance(start, Mapping) and start.get("modules"):
        blocks.append(Fold("Where the adapters start", (_start_table(start),)))
    layer = training.get("layer")
    if isinstance(layer, Mapping) and layer.get("scores"):
        blocks.append(Fold("How the layer was chosen", (_layer_table(layer),)))
    return Section("training", "The training", tuple(blocks))


def _course(training: Entry) -> list[Block]:
    history: Sequence[Entry] = training.get("history") or ()
    loss = [(h["step"], h["loss"]) for h in history if is_number(h.get("loss"))]
    watched = [h for h in history if isinstance(h.get("validation"), Mapping)]
    charts: list[Block] = []
    if len(loss) > 1:
        last = f"{number(loss[0][1])} at step {loss[0][0]}, {number(loss[-1][1])} at the end"
        charts.append(
            Chart(
                "training-loss",
                "Loss on the training rows",
                f"The loss is {last}.",
                partial(curve_chart, [Curve("loss", tuple(loss))], "step", "loss"),
                "Mean of the objective since the point before.",
            )
        )
    names = {"accuracy": "all rows", "head": "common classes", "tail": "rare classes"}
    curves = [Curve(words, _points(watched, key)) for key, words in names.items()]
    curves = [c for c in curves if c.points]
    if len(watched) > 1 and curves:
        ends = "; ".join(f"{c.name} {per_cent(c.points[-1][1] / 100)}%" for c in curves)
        charts.append(
            Chart(
                "watched-rows",
                "Found among the watched rows while training (%)",
                f"At the end: {ends}.",
                partial(curve_chart, curves, "step", "%"),
                "The watched rows were neither trained on nor judged.",
            )
        )
    return charts


def _points(watched: Sequence[Entry], key: str) -> tuple[tuple[float, float], ...]:
    found = [(h["step"], h["validation"].get(key)) for h in watched]
    return tuple((float(s), 100.0 * v) for s, v in found if is_number(v))


def _settings(result: Entry) -> Table:
    training, model = result["training"], result["model"]
    trainable = training.get("trainable") or {}
    optimiser = training.get("optimiser") or {}
    lora = training.get("lora") or {}
    objective = str(training.get("objective") or UNDEFINED)
    told = ", ".join(
        f"{k} {_plain(v)}" for k, v in (training.get("objective_settings") or {}).items()
    )
    rows = [
        ("Base model", str(model.get("base_model") or UNDEFINED)),
        ("Architecture", str(model.get("architecture") or UNDEFINED)),
        ("What decides", str(model.get("head_words") or UNDEFINED)),
        ("Objective", f"{objective} ({told})" if told else objective),
        ("Weights trained", _trained(trainable)),
    ]
    if lora:
        modules = ", ".join(map(str, lora.get("target_modules") or ())) or UNDEFINED
        named = (("rank", "r"), ("alpha", "lora_alpha"), ("dropout", "lora_dropout"))
        scale = ", ".join(f"{words} {_plain(lora.get(key))}" for words, key in named)
        rows += [("LoRA", scale), ("On the modules", modules)]
    rows += [
        ("Start", str(training.get("start_words") or UNDEFINED)),
        ("Steps", f"{count(training.get('steps'))} of {count(optimiser.get('rows_a_step'))} rows"),
        ("Learning rate", significant(optimiser.get("learning_rate"))),
        *([("Texts cut after", _length(model))] if model.get("head") != "clip" else []),
        ("Numbers it computes in", str(model.get("dtype") or UNDEFINED)),
    ]
    if training.get("stopped"):
        rows.append(("Stopped early", str(training["stopped"])))
    return Table("What was trained, and how", ("What", "Value"), tuple(rows), (), (1,))


def _plain(value: Any) -> str:
    return significant(value) if is_number(value) else str(value)


def _trained(trainable: Entry) -> str:
    share = trainable.get("share")
    shown = f"{100 * share:.3g}%" if is_number(share) and share is not None else UNDEFINED
    head = trainable.get("head")
    also = f"; {count(head)} of them in the classification head" if head else ""
    return f"{count(trainable.get('trainable'))} of {count(trainable.get('total'))} ({shown}){also}"


def _length(model: Entry) -> str:
    cut, limit = model.get("n_truncated"), model.get("max_length")
    if not is_number(limit):
        return UNDEFINED
    return f"{count(limit)} tokens" + (f" ({count(cut)} texts were)" if cut else " (none was)")


def _start_table(start: Entry) -> Table:
    rows = tuple(
        (
            str(m["name"]),
            count(m.get("n_tail")),
            count(m.get("n_inputs")),
            per_cent(m.get("captured")),
        )
        for m in start["modules"]
        if not m.get("reason")  # what keeps PEFT's own start has no directions to tell
    )
    columns = ("Module", "Rows of A from the rare classes", "From the inputs", "Captured (%)")
    return Table("Directions that the adapters start from", columns, rows)


def _layer_table(layer: Entry) -> Table:
    scores = layer.get("scores") or ()
    chosen = layer.get("layer")
    rows = tuple((f"Block {i}", significant(score)) for i, score in enumerate(scores))
    tones = tuple("after" if i == chosen else "plain" for i in range(len(rows)))
    caption = f"Score of every block by {str(layer.get('method')).replace('_', ' ')}"
    return Table(caption, ("Block", "Score"), rows, tones)  # type: ignore[arg-type]


def usage_section(result: Entry) -> Section:
    """Return what was written, that it was read back, and how to use it."""
    adapter = result.get("adapter") or {}
    blocks: list[Block] = []
    checked = adapter.get("verified") or {}
    if checked:
        blocks.append(
            Paragraph(
                f"Read back from disk with {adapter.get('library')}: "
                f"{count(checked.get('n_same'))} of {count(checked.get('n'))} decisions as before "
                "writing; scores differ by at most "
                f"{significant(checked.get('largest_difference'))}."
            )
        )
    blocks += usage_blocks(result)
    files = tuple((str(f["name"]), str(f["what"])) for f in result.get("files") or ())
    if files:
        blocks.append(Fold("Files", (Table("Files", ("File", "What it is"), files, (), (1,)),)))
    return Section("use", "How to use it", tuple(blocks))


def usage_blocks(result: Entry) -> list[Block]:
    """Return the lines that decide on a text."""
    adapter = result.get("adapter") or {}
    named = (("with_isonomy", "In Python, with isonomy"), ("plain", "In Python, without isonomy"))
    return [
        Code(caption, tuple(map(str, adapter[key]))) for key, caption in named if adapter.get(key)
    ]


def cost_section(result: Entry) -> Section:
    """Return seconds, steps and memory."""
    cost = result.get("cost") or {}
    seconds: Mapping[str, Any] = cost.get("seconds") or {}
    rows = [(f"{str(k)[:1].upper()}{str(k)[1:]}", f"{number(v, 1)} s") for k, v in seconds.items()]
    rows.append(("Together", f"{number(cost.get('total_seconds'), 1)} s"))
    rows.append(("A training step", f"{number(cost.get('seconds_a_step'), 3)} s"))
    for key, words in (
        ("peak_memory_mb", "Peak memory of the process"),
        ("device_memory_mb", "Peak memory of the accelerator"),
    ):
        if is_number(cost.get(key)):
            rows.append((words, f"{count(round(cost[key]))} MB"))
    rows.append(("Ran on", str(cost.get("device") or UNDEFINED)))
    blocks: list[Block] = [Table("Time and memory", ("What", "Cost"), tuple(rows))]
    notes = tuple(("", str(n)) for n in cost.get("notes") or ())
    if notes:
        blocks.append(Bullets(notes))
    return Section("cost", "What it cost", tuple(blocks))
