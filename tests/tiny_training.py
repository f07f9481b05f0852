"""Short training runs of tiny models, the same on every call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from isonomy.adapters.arguments import BiasAwareArguments
from isonomy.adapters.trainer import BiasAwareTrainer
from tiny_models import tiny

CLASSES = ["joy", "fear", "trust"]


def rows(n: int, *, seed: int = 0, several: bool = False, groups: bool = True) -> list[dict]:
    """Return ``n`` rows of three classes (3 : 3 : 1) and two groups; one token tells the class."""
    generator = torch.Generator().manual_seed(seed)
    made = []
    for i in range(n):
        label = (i % 7) // 3
        tokens = [20 + label, *torch.randint(5, 60, (5,), generator=generator).tolist()]
        row: dict[str, Any] = {"input_ids": tokens, "attention_mask": [1] * 6}
        row["labels"] = [float(label == k or i % 5 == k) for k in range(3)] if several else label
        if groups:
            row["groups"] = i % 2
        made.append(row)
    return made


def model(kind: str = "bert", *, lora: bool = True, seed: int = 0, **changes: Any) -> Any:
    """Return a tiny classifier of the three classes, with LoRA on what all kinds have."""
    made, _ = tiny(kind, task="classification", seed=seed, **changes)
    made.config.id2label = dict(enumerate(CLASSES))
    made.config.label2id = {name: code for code, name in enumerate(CLASSES)}
    if not lora:
        return made
    targets = {"bert": ["query", "value"], "llama": ["q_proj", "v_proj"]}[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(
            made, LoraConfig(task_type="SEQ_CLS", target_modules=targets, r=2, lora_dropout=0.0)
        )


def arguments(folder: str | Path, **changes: Any) -> BiasAwareArguments:
    """Return arguments of a short run on the CPU that writes nothing unless told to."""
    quiet = {
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_steps": 1,
        "learning_rate": 1e-2,
        "per_device_train_batch_size": 4,
        "num_train_epochs": 1,
        "dataloader_pin_memory": False,
    }
    return BiasAwareArguments(str(folder), **{**quiet, **changes})


def trainer(folder: str | Path, *, of: Any = None, data: Any = None, **asked: Any) -> Any:
    """Return a trainer of ``model()`` on ``rows(28)``; what is no argument of it goes to args."""
    known = ("eval_dataset", "objective", "compute_metrics", "callbacks", "optimizers",
             "preprocess_logits_for_metrics", "data_collator")  # fmt: skip
    own = {name: asked.pop(name) for name in known if name in asked}
    return BiasAwareTrainer(
        model() if of is None else of,
        arguments(folder, **asked),
        train_dataset=rows(28) if data is None else data,
        **own,
    )


def weights(trained: Any) -> dict[str, torch.Tensor]:
    """Return copies of the weights that train."""
    found = trained.model.named_parameters()
    return {name: p.detach().clone() for name, p in found if p.requires_grad}


def losses(trained: Any) -> list[float]:
    """Return the loss of every logged step."""
    return [entry["loss"] for entry in trained.state.log_history if "loss" in entry]


def spoil(module: Any, token: int) -> None:
    """Make the logits NaN of every row that holds ``token``."""

    def hook(module: Any, args: Any, kwargs: Any, output: Any) -> Any:
        hit = (kwargs["input_ids"] == token).any(dim=1)
        output.logits = torch.where(hit[:, None], float("nan"), output.logits)
        return output

    module.register_forward_hook(hook, with_kwargs=True)
