"""Train a small Llama-layout language model and its tokenizer on texts of the data folder.

Run from the repository root, with texts in ``../shared/data`` (or ``--folder``, or the environment
variable ``ISONOMY_DATA``)::

    python benchmarks/pretrain.py                      # 5 million parameters, openly licensed texts
    python benchmarks/pretrain.py --all                # texts without an open licence as well
    python benchmarks/pretrain.py --size base          # 110 million parameters; wants a GPU

The model and its tokenizer are written in Hugging Face's format under ``--output``, with
``pretraining.json`` beside them: texts, licences, seconds, held-out perplexity. An interrupted run
goes on at its last checkpoint and ends with the weights of one that ran through. A model trained
with ``--all`` must not be published: some of its texts carry no licence.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from _pretrain.checkpoint import NAME as CHECKPOINT
from _pretrain.corpus import Corpus, read_corpus
from _pretrain.model import SIZES, new_model, train_tokenizer
from _pretrain.training import held_out_losses, packed, train

from isonomy._atomic import write_text_atomic

ROOT = Path(__file__).resolve().parents[1]
CARD = "pretraining.json"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    data = os.environ.get("ISONOMY_DATA", str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--folder", type=Path, default=Path(data), help="where the texts lie")
    parser.add_argument("--texts", type=Path, nargs="*", default=[], help="files, a text a line")
    parser.add_argument("--all", action="store_true", help="texts without an open licence too")
    parser.add_argument("--size", choices=list(SIZES), default="small")
    work = ROOT / ".benchmarks" / "pretrain"
    parser.add_argument("--output", type=Path, help=f"folder ({work}/SIZE)")
    parser.add_argument("--epochs", type=int, help="passes over the texts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the processor")
    parser.add_argument("--checkpoint-every", type=int, default=200, help="steps")
    asked = parser.parse_args(arguments)
    asked.output = asked.output or work / asked.size
    return asked


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, save and report; one JSON object on stdout."""
    asked = parse(arguments)
    start = time.perf_counter()

    def tick(done: int, total: int, loss: float) -> None:
        if done % 20 == 0 or done == total:
            spent = time.perf_counter() - start
            print(f"[{done}/{total}, {spent:.0f} s] loss {loss:.3f}", file=sys.stderr, flush=True)

    print(json.dumps(run(asked, tick), indent=2))
    return 0


def run(asked: argparse.Namespace, tick: Callable[[int, int, float], None]) -> dict[str, Any]:
    """Train what ``asked`` describes, or return the card of a model that is already there."""
    import torch

    size = SIZES[asked.size]
    if asked.epochs is not None:
        size = type(size)(**{**vars(size), "epochs": asked.epochs})
    corpus = read_corpus(asked.folder, also_closed=asked.all, texts=asked.texts)
    said = f"{size} {asked.seed} {corpus.fingerprint}"
    key = hashlib.blake2b(said.encode(), digest_size=12).hexdigest()
    known = _card(asked.output)
    if known.get("key") == key:
        return known
    torch.set_num_threads(asked.threads)
    start = time.perf_counter()
    asked.output.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(corpus.train, size, asked.output)
    blocks = packed(tokenizer, corpus.train, size.context)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = new_model(size, len(tokenizer), asked.seed).to(device)
    train(
        model, blocks, size, seed=asked.seed, folder=asked.output, key=key,
        checkpoint_every=asked.checkpoint_every, tick=tick,
    )  # fmt: skip
    model.save_pretrained(asked.output)
    card = {
        "key": key,
        "size": asked.size,
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_tokens": int(blocks.size) * size.epochs,
        "epochs": size.epochs,
        **_judged(model, tokenizer, corpus, size.context),
        "seconds_of_this_run": round(time.perf_counter() - start, 1),
        "licences": corpus.licences,
    }
    write_text_atomic(asked.output / CARD, json.dumps(card, indent=2) + "\n")
    (asked.output / CHECKPOINT).unlink(missing_ok=True)
    return card


def _judged(model: Any, tokenizer: Any, corpus: Corpus, context: int) -> dict[str, Any]:
    """Return held-out perplexity, a token and a byte; None where nothing was held out."""
    n_texts = len(corpus.held_out)
    if not n_texts:
        return {"held_out_texts": 0, "held_out_perplexity": None, "held_out_bits_per_byte": None}
    lost, n_tokens, n_bytes = held_out_losses(model, tokenizer, corpus.held_out, context)
    return {
        "held_out_texts": n_texts,
        "held_out_perplexity": round(math.exp(lost / n_tokens), 3),
        "held_out_bits_per_byte": round(lost / math.log(2) / n_bytes, 4),
    }


def _card(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def ensure_model(folder: str, work: Path, tell: Callable[[str, int, int], None]) -> Path:
    """Return the folder of a small model trained on the open texts of ``folder``."""
    asked = parse(["--folder", str(folder), "--output", str(work / "small")])
    run(asked, lambda done, total, loss: tell(f"pretraining, loss {loss:.2f}", done, total))
    return Path(asked.output)


if __name__ == "__main__":
    raise SystemExit(main())
