"""A result of kind "finetuning" for the tests of its page: every part, no drawn data."""

from __future__ import annotations

from typing import Any

COUNTS = {"card_arrival": 120, "refund": 40, "top_up": 12}
THIRDS = ("head", "medium", "tail")


def rate(value: float | None, half: float = 0.1, n: int = 40) -> dict[str, Any]:
    if value is None:
        return {"value": None, "low": None, "high": None, "n": 0}
    return {"value": value, "low": max(0.0, value - half), "high": min(1.0, value + half), "n": n}


def judgement(name: str, recalls: tuple[float | None, ...], **changes: Any) -> dict[str, Any]:
    """One classifier judged: ``recalls`` of the classes from the most frequent on."""
    gap = None if recalls[0] is None or recalls[-1] is None else recalls[0] - recalls[-1]
    known = [r for r in recalls if r is not None]
    reason = None if gap is not None else "no class is rarer than another"
    by_class = [
        {"class": c, "third": t, "n_train": n, **rate(r), "n_predicted": 30, "precision": 0.5}
        for (c, n), t, r in zip(COUNTS.items(), THIRDS, recalls, strict=True)
    ]
    measures = {"head_tail_gap": gap, "worst_class_recall": min(known), "cobias": 0.2}
    found = {
        "name": name,
        "label": "frozen model, linear head" if name == "before" else "fine-tuned, equity",
        "what": "What decided.",
        "n": 120,
        "accuracy": rate(sum(known) / len(known)),
        "balanced_accuracy": rate(sum(known) / len(known)),
        "macro_f1": rate(0.6),
        "class_groups": [
            {"group": t, "classes": [c], **rate(r)}
            for t, c, r in zip(THIRDS, COUNTS, recalls, strict=True)
        ],
        "measures": [
            {"metric": m, "value": v, "low": None, "high": None, "reason": reason}
            for m, v in measures.items()
        ],
        "by_class": by_class,
        "confusions": [{"class": "top_up", "predicted": "refund", "n": 9, "share": 0.225}],
        "audit": None,
        "audit_reason": "no group column was named",
    }
    return found | changes


def finetuning_result(**changes: Any) -> dict[str, Any]:
    """Return a whole result, parts of it replaced."""
    table = [
        {"class": c, "third": t, "n_train": n, "n_validation": 5, "n_test": 40}
        for (c, n), t in zip(COUNTS.items(), THIRDS, strict=True)
    ]
    modules = [{"name": "layers.0.q_proj", "n_tail": 6, "n_inputs": 2, "captured": 0.9}]
    result = {
        "schema": 1,
        "kind": "finetuning",
        "isonomy_version": "0.0",
        "title": "small fine-tuned on intents.csv",
        "question": "Are rare classes found as often as common ones?",
        "created_by": {"command": "isonomy finetune", "random_state": 0},
        "data": {
            "name": "intents.csv", "kind": "text", "n_train": 172, "n_validation": 15,
            "n_test": 120, "n_classes": 3, "classes": list(COUNTS), "ratio": 10.0,
            "description": "307 rows, split by class.", "class_table": table,
            "checks": [
                {"what": "test rows seen in training", "level": "warning", "n": 2,
                 "sentence": "2 texts of the 120 test rows also stand in the training rows."},
            ],
        },
        "model": {
            "base_model": "owner/small", "is_local": False, "architecture": "LlamaForX",
            "head_words": "a classification head on the model", "dtype": "float32",
            "max_length": 256, "n_truncated": 1,
        },
        "training": {
            "strategy": "equity", "sentence": "LoRA, trained by equity.", "description": "",
            "objective": "equity", "objective_settings": {"tau": 1.0}, "start_words": "as told",
            "start": {"init": "tail_structure", "modules": modules},
            "layer": {"layer": 1, "method": "interchange", "scores": [0.1, 0.4, None]},
            "lora": {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": ["q_proj"]},
            "trainable": {"trainable": 1000, "total": 100000, "share": 0.01, "head": 96},
            "optimiser": {"learning_rate": 1e-3, "rows_a_step": 16},
            "steps": 30, "stopped": "at step 30 of 60: the worst third got no better",
            "history": [
                {"step": s, "loss": 2.0 / s, "validation": {"accuracy": 0.5, "tail": 0.1 * s}}
                for s in (1, 2, 3)
            ],
        },
        "judgements": [
            judgement("before", (0.9, 0.6, 0.3)), judgement("after", (0.85, 0.7, 0.75)),
        ],
        "not_computed": [{"what": "recall rsd", "why": "no prediction is right"}],
        "cost": {
            "seconds": {"training": 12.0}, "total_seconds": 14.0, "seconds_a_step": 0.4,
            "peak_memory_mb": 700.0, "device_memory_mb": None, "device": "cpu", "notes": ["Note."],
        },
        "adapter": {
            "is_peft": True, "library": "PEFT", "with_isonomy": ["load()"], "plain": ["plain()"],
            "verified": {"n": 64, "n_same": 64, "largest_difference": 0.0},
        },
        "files": [{"name": "adapter_config.json", "what": "PEFT's configuration"}],
        "reproduce": {"command": "isonomy finetune -o OUT", "python": [], "versions": {}},
    }  # fmt: skip
    return result | changes
