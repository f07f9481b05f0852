"""Train a small CLIP from its configuration: pictures of characters against their captions."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _real_data.store import digest_of

from _adapters.images import PRETRAINED_ON, SIDE, read_omniglot

__all__ = ["CLIP_NAME", "clip_folder", "ensure_clip"]

SHAPE: dict[str, Any] = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4,
}  # fmt: skip
PATCH = 4
PROJECTION = 64
STEPS = 600
BATCH = 64
RATE = 1e-3
CLIP_NAME = f"clip-{digest_of([SHAPE, PATCH, PROJECTION, STEPS, BATCH, RATE, PRETRAINED_ON])[:12]}"
"""Names all that the trained CLIP depends on."""


def clip_folder(work: Path) -> Path:
    """Return where the trained CLIP lies."""
    return work / CLIP_NAME


def ensure_clip(work: Path, data: str, tell: Any, *, steps: int = STEPS) -> Path:
    """Return the folder of the trained CLIP, trained first if it is not there."""
    folder = clip_folder(work)
    if not (folder / "config.json").exists():
        work.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f"{CLIP_NAME}-", dir=work))
        train_clip(data, tell, steps=steps).save_pretrained(made)
        try:
            os.replace(made, folder)
        except OSError:  # another process was quicker
            shutil.rmtree(made)
    return folder


def train_clip(data: str, tell: Any, *, steps: int) -> Any:
    """Return a CLIP trained on the alphabets of ``PRETRAINED_ON``."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    pixels, y, names, alphabets = read_omniglot(data)
    kept = np.flatnonzero(np.isin(alphabets, PRETRAINED_ON))
    captions, n_words = _captions([names[k] for k in kept])
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    config = CLIPConfig(
        text_config={
            **SHAPE, "vocab_size": n_words, "max_position_embeddings": captions.shape[1],
            "bos_token_id": 0, "eos_token_id": n_words - 1, "pad_token_id": 0,
        },
        vision_config={**SHAPE, "image_size": SIDE, "patch_size": PATCH},
        projection_dim=PROJECTION,
    )  # fmt: skip
    model = CLIPModel(config).train()
    by_class = [np.flatnonzero(y == k) for k in kept]
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for step in range(steps):
        # one picture a class: no two captions of a batch are alike
        drawn = rng.permutation(len(kept))[:BATCH]
        rows = np.array([rng.choice(by_class[k]) for k in drawn])
        shift = tuple(rng.integers(-2, 3, 2).tolist())
        images = torch.from_numpy(np.roll(pixels[rows], shift, axis=(2, 3)))
        loss = model(
            input_ids=torch.from_numpy(captions[drawn]), pixel_values=images, return_loss=True
        ).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 50 == 0:
            tell(f"CLIP on Omniglot, loss {loss.item():.2f}", step, steps)
    return model.eval()


def _captions(names: list[str]) -> tuple[Any, int]:
    """Return word numbers (n_names, length), each row begun by 0 and ended by the last number."""
    words = sorted({word for name in names for word in name.split()})
    end = len(words) + 1
    code = {word: i for i, word in enumerate(words, start=1)}
    rows = [[0, *(code[word] for word in name.split()), end] for name in names]
    width = max(map(len, rows))
    # what follows the first end of a row is not read
    return np.array([row + [end] * (width - len(row)) for row in rows], dtype=np.int64), end + 1
