"""Result dictionaries made by hand, in the schema that ``audit`` and ``compare_methods`` write."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

OCCUPATIONS = [
    "accountant",
    "architect",
    "attorney",
    "chiropractor",
    "comedian",
    "composer",
    "dentist",
    "dietitian",
    "dj",
    "filmmaker",
    "interior_designer",
    "journalist",
    "model",
    "nurse",
    "painter",
    "paralegal",
    "pastor",
    "personal_trainer",
    "photographer",
    "physician",
    "poet",
    "professor",
    "psychologist",
    "rapper",
    "software_engineer",
    "surgeon",
    "teacher",
    "yoga_teacher",
]

HOSTILE = (
    "<script>alert(1)</script>",
    "\"quoted\" & 'single'",
    "{{7*7}} {% raw %}",
    "$\\alpha_{x}$ from $5 to $6",
    "a|b `code` [link](https://example.org) *bold*",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "\U0001f469\u200d\U0001f52c scientist",
    "very " * 60 + "long",
    "\u202eevil\x00\nnext",
    "]]><!-- --> </svg></style>",
)


def interval(value: float, half: float, **more: Any) -> dict[str, Any]:
    """Return an entry with value, low and high."""
    return {"value": value, "low": value - half, "high": value + half, **more}


def rate(k: int, n: int) -> dict[str, Any]:
    """Return a rate with its Wilson interval, or null with the reason under 10 rows."""
    if n < 10:
        return {"value": None, "low": None, "high": None, "n": None, "reason": "fewer than 10 rows"}
    p, z = k / n, 1.96
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return {"value": p, "low": low, "high": high, "n": n, "reason": None}


def audit_result(
    classes: tuple[str, ...] | list[str] = tuple(OCCUPATIONS),
    groups: tuple[str, ...] = ("female", "male"),
    *,
    tilt: float = 0.1,
    corrected: float = 0.057,
    p_value: float = 0.0002,
    accuracy: float = 0.725,
    n_samples: int = 2400,
    seed: int = 0,
) -> dict[str, Any]:
    """Return an audit in which groups' true positive rates differ by about ``tilt``."""
    rng = np.random.default_rng(seed)
    share = 1.0 / np.arange(1, len(classes) + 1) ** 0.9
    share /= share.sum()
    by_group, gaps, sizes = [], [], {}
    reference = groups[-1]
    for a, group in enumerate(groups):
        sizes[group] = {
            c: int(n_samples / len(groups) * s) for c, s in zip(classes, share, strict=True)
        }
        by_group.append(
            {"metric": "accuracy", "class": None, "group": group}
            | rate(int(accuracy * n_samples / len(groups)), n_samples // len(groups))
        )
        for k, name in enumerate(classes):
            n = sizes[group][name]
            lean = tilt * math.cos(k) * (1 if a == 0 else -1) / 2
            tpr = min(0.97, max(0.05, accuracy + lean + 0.1 * rng.standard_normal()))
            entries = {
                "true_positive_rate": rate(round(tpr * n), n),
                "false_positive_rate": rate(max(1, round(0.02 * (n_samples - n))), n_samples - n),
                "selection_rate": rate(n, n_samples // len(groups)),
            }
            by_group += [
                {"metric": m, "class": name, "group": group} | e for m, e in entries.items()
            ]
    found = {(e["metric"], e["class"], e["group"]): e for e in by_group}
    rare = []
    for group in groups[:-1]:
        for name in classes:
            new, old = (found["true_positive_rate", name, g] for g in (group, reference))
            entry = {"class": name, "group": group, "reference_group": reference}
            small = new["value"] is None or old["value"] is None
            if small:
                entry |= {"gap": None, "low": None, "high": None, "n_group": None}
                entry |= {"n_reference": None, "rare": True, "reason": "fewer than 10 rows"}
            else:
                half = math.hypot(new["high"] - new["value"], old["high"] - old["value"])
                gap = new["value"] - old["value"]
                entry |= {"gap": gap, "low": gap - half, "high": gap + half, "n_group": new["n"]}
                entry |= {"n_reference": old["n"], "rare": new["n"] < 15, "reason": None}
            gaps.append(entry)
            if entry["rare"] and group == groups[0]:
                rare.append({"class": name, "reason": "few people in some group"})
    sentence = f"The typical gap between groups is {100 * max(corrected, 0):.1f} points."
    disparities = [
        {
            "metric": metric,
            "weighting": weighting,
            "value": value,
            "corrected": value - 0.015 if metric.startswith("rms") else None,
            "low": value - 0.03,
            "high": value + 0.02,
            "p_value": p_value if metric.startswith("rms") else None,
            "pair": list(groups[:2]),
            "class": None,
            "reason": None,
            "sentence": f"{metric} is {value:.3f}.",
        }
        for metric, weighting, value in (
            ("rms_tpr_gap_precision", "precision", corrected + 0.015),
            ("rms_tpr_gap", "equal", corrected + 0.06),
            ("demographic_parity_difference", None, 0.021),
            ("equalized_odds_difference", None, 0.31),
        )
    ]
    n_group = n_samples // len(groups)
    return {
        "schema": 1,
        "kind": "audit",
        "isonomy_version": "0.1.0",
        "confidence": 0.95,
        "min_cell": 10,
        "n_boot": 10000,
        "random_state": 0,
        "n_samples": n_samples,
        "weighted": False,
        "classes": list(classes),
        "pos_label": classes[1] if len(classes) == 2 else None,
        "groups": [
            {"name": g, "n": n_group, "share": 1 / len(groups), "withheld": False, "pooled": []}
            for g in groups
        ],
        "reference_group": reference,
        "overall": {
            "accuracy": interval(accuracy, 0.018, n=n_samples, reason=None),
            "balanced_accuracy": interval(accuracy - 0.06, 0.02, n=n_samples, reason=None),
            "macro_f1": interval(accuracy - 0.05, 0.02, n=n_samples, reason=None),
        },
        "by_group": by_group,
        "disparities": disparities,
        "decision": {
            "metric": "rms_tpr_gap_precision",
            "gap_detected": p_value <= 0.05,
            "p_value": p_value,
            "upper_bound": corrected + 0.035,
            "sentence": sentence,
        },
        "class_gaps": gaps,
        "rare_classes": rare,
        "marginals": [],
        "controls": [],
        "scores": None,
        "not_computed": [{"what": "Metrics of the scores", "why": "no `y_score` was given"}],
        "notes": ["Intervals speak of these rows alone."],
    }


METHODS = (
    ("untouched", "Untouched", "untouched", "none", 0.72, 0.057, 0.0002, 0.12),
    ("reweighing", "Reweighing", "baseline", "blind", 0.723, 0.053, 0.0002, 0.11),
    ("mean_matching", "Mean matching", "baseline", "given", 0.724, 0.066, 0.0002, 0.13),
    ("leace", "LEACE", "baseline", "blind", 0.726, 0.064, 0.0002, 0.13),
    ("mimic", "MiMiC", "baseline", "given", 0.711, 0.049, 0.0005, 0.1),
    ("ideal_blind", "Ideal steering, blind", "isonomy", "blind", 0.723, 0.047, 0.0005, 0.09),
    ("ideal_given", "Ideal steering, group given", "isonomy", "given", 0.718, 0.05, 0.001, 0.09),
    ("inferred", "Offsets, group inferred", "isonomy", "inferred", 0.717, 0.034, 0.031, 0.06),
    ("calibrated", "Calibrated offsets", "isonomy", "given", 0.72, -0.011, 0.81, 0.02),
)


def comparison_result(
    classes: tuple[str, ...] | list[str] = tuple(OCCUPATIONS),
    groups: tuple[str, ...] = ("female", "male"),
    *,
    methods: tuple[tuple[Any, ...], ...] = METHODS,
    name: str = "make_biographies",
) -> dict[str, Any]:
    """Return a comparison of the methods on made-up numbers close to real ones."""
    made = []
    for method, label, family, use, accuracy, corrected, p, tilt in methods:
        audit = audit_result(
            classes, groups, tilt=tilt, corrected=corrected, p_value=p, accuracy=accuracy
        )
        gap = {d["metric"]: d for d in audit["disparities"]}
        made.append(
            {
                "name": method,
                "label": label,
                "family": family,
                "group_use": use,
                "description": f"What {label} does, in one sentence.",
                "utility": audit["overall"],
                "gap": gap,
                "seconds": 1.25,
                "audit": audit,
                "certificate": _certificate() if method.startswith("ideal") else None,
                "notes": [],
            }
        )
    cells = [
        {"class": c, "group": g, "n_train": None if i > 25 else 300 - 9 * i, "n_test": 12 + i}
        for i, c in enumerate(classes)
        for g in groups
    ]
    return {
        "schema": 1,
        "kind": "comparison",
        "isonomy_version": "0.1.0",
        "title": "Short biographies, before and after steering",
        "question": "Are people of each occupation recognised equally often, whatever their "
        "gender, and what does it cost to make it so?",
        "created_by": {"command": "isonomy demo", "random_state": 0},
        "data": {
            "name": name,
            "n_train": 5600,
            "n_test": 2400,
            "n_features": 128,
            "classes": list(classes),
            "groups": list(groups),
            "cells": cells,
            "fingerprint": "hmac-sha256:3f9ad0c1",
            "description": "Made-up biographies with a planted bias in wording and in priors.",
        },
        "methods": made,
        "main_method": made[-1]["name"],
        "not_computed": [{"what": "INLP", "why": "it is not built into this version"}],
        "reproduce": {
            "command": "isonomy demo --random-state 0",
            "python": [
                "from isonomy.datasets import make_biographies",
                "data = make_biographies()",
            ],
        },
    }


def _certificate() -> dict[str, Any]:
    return {
        "sentences": [
            "On the fitted distribution, steered rows reach equal true positive rates exactly, "
            "to rounding (largest violation 3e-15).",
            "Getting there moved the data by 0.31 nats.",
        ],
        "kl": 0.31,
        "violation": 3e-15,
        "informative": False,
        "law": "reweighed: Y independent of A",
    }


def hostile_result() -> dict[str, Any]:
    """Return a comparison whose classes, groups and labels try to break out."""
    result = comparison_result(list(HOSTILE), (HOSTILE[0], HOSTILE[3], HOSTILE[5]))
    result["title"] = HOSTILE[0]
    result["question"] = HOSTILE[2]
    result["data"]["name"] = HOSTILE[9]
    for method, name in zip(result["methods"], HOSTILE, strict=False):
        method["label"] = name
        method["description"] = HOSTILE[4]
    result["not_computed"].append({"what": HOSTILE[0], "why": HOSTILE[1]})
    result["reproduce"]["command"] = f"isonomy demo --label '{HOSTILE[0]}' ```"
    return result
