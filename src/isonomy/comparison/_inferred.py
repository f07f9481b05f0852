"""``compare_inferred``: steered and judged by true groups, and by inferred ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy._group_codes import UnknownGroup, match_groups
from isonomy._validation import check_labels
from isonomy._version import __version__
from isonomy.comparison._data import Split, describe_data
from isonomy.comparison._judging import GAPS, UTILITIES, Judge, fit_head, new_steerer
from isonomy.errors import InvalidInputError
from isonomy.groups import GroupCodes
from isonomy.steering import IdealSteerer
from isonomy.steering._probe_quality import measure_probe

__all__ = ["beside_true_groups", "compare_inferred", "side_by_side"]

_WHERE = "compare_inferred"

MAIN_GAP = "rms_tpr_gap_precision"

N_BOOT = 2_000
"""Replicates at most inside a comparison, whose own audit draws as many as asked."""


def compare_inferred(
    X_train: Any,
    y_train: Any,
    groups_train: Any,
    X_test: Any,
    y_test: Any,
    groups_test: Any,
    *,
    estimator: Any,
    steerer: Any = None,
    reweigh: bool = True,
    n_boot: int = 10_000,
    min_cell: int = 10,
    reference_group: Any = None,
    random_state: int = 0,
) -> dict[str, Any]:
    """Show what inferring groups costs, and what an auditor who infers them would see.

    Parameters
    ----------
    X_train, X_test : (n_samples, n_features) array or data frame
    y_train, y_test : (n_samples,)
        Class labels.
    groups_train, groups_test : (n_samples,) or (n_samples, n_attributes)
        True groups. Those of the test rows judge; and steer, in one of three rows.
    estimator : classifier
        Cloned: once on the untouched rows, once on the steered rows.
    steerer : IdealSteerer, optional
        With ``groups="infer"``; cloned. Default: ``IdealSteerer(groups="infer")``.
    reweigh : bool
        Fit the head of the steered rows on Kamiran-Calders weights.
    n_boot, min_cell, reference_group : int, int, group
        Passed to :func:`isonomy.audit`.
    random_state : int

    Returns
    -------
    dict
        JSON-able, kind "inferred_groups", schema 1. ``probe``: its quality on held-out
        training rows and on the test rows; ``steered_by``: one entry each for "nothing",
        "true groups" and "inferred groups" with ``utility`` and ``judged_by`` (gaps by
        "true" and by "inferred" groups); ``sentences``; ``not_computed``.

    Raises
    ------
    InvalidInputError
        If ``steerer`` does not infer groups, or arguments do not fit together.
    UnknownGroupError
        If a test row's group was never seen in training.

    Notes
    -----
    The steered head is one and the same for true and inferred groups: only the maps at
    deployment differ. An auditor's inferred groups are the most probable ones by the
    steerer's own probe, the worst case: steering and audit then err together. What it
    does not promise: the gap by inferred groups is neither an upper nor a lower bound on
    the gap by true groups.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from isonomy.datasets import make_biased_normals
    >>> X, y, group, _ = make_biased_normals(2000, random_state=0)
    >>> parts = (X[:1000], y[:1000], group[:1000], X[1000:], y[1000:], group[1000:])
    >>> found = compare_inferred(*parts, estimator=LogisticRegression(), n_boot=200)
    >>> [row["steered_by"] for row in found["steered_by"]]
    ['nothing', 'true groups', 'inferred groups']
    """
    split = Split(X_train, y_train, groups_train, X_test, y_test, groups_test)
    data = describe_data(split, min_cell=min_cell, where=_WHERE)
    judge = Judge(n_boot, min_cell, reference_group, random_state)
    fitted = new_steerer(steerer, random_state, where=_WHERE)
    y = check_labels(y_train, where=_WHERE, name="y_train")
    rows = fitted.fit_transform(X_train, y, sensitive_features=groups_train)
    head = fit_head(estimator, rows, y, groups_train, reweigh=reweigh, where=_WHERE)
    plain = fit_head(estimator, X_train, y, groups_train, reweigh=False, where=_WHERE)
    found = side_by_side(
        fitted,
        head,
        split,
        judge,
        unknown_group=fitted.unknown_group,
        untouched=plain.predict(X_test),
    )
    return {
        "schema": 1,
        "kind": "inferred_groups",
        "isonomy_version": __version__,
        "data": data,
    } | found


def side_by_side(
    steerer: Any,
    head: Any,
    split: Split,
    judge: Judge,
    *,
    unknown_group: UnknownGroup,
    untouched: Any = None,
) -> dict[str, Any]:
    """Return quality, the entries of ``steered_by``, and sentences, for fitted parts.

    With ``unknown_group="identity"`` rows of a group never seen in training are steered by
    the probe even where groups are true, and do not count in its quality.
    """
    posterior = steerer.group_posterior(split.X_test)
    codes = match_groups(
        split.groups_test,
        steerer.groups_,
        n_samples=len(posterior),
        missing_groups=steerer.missing_groups,
        unknown_group=unknown_group,
        where=_WHERE,
    )
    guessed = GroupCodes(tuple(steerer.groups_), posterior.argmax(axis=1)).values
    truth = _one_hot(codes, posterior)
    predicted = {
        "nothing": untouched,
        "true groups": head.predict(steerer.transform_by_posterior(split.X_test, truth)),
        "inferred groups": head.predict(steerer.transform(split.X_test)),
    }
    missing: list[dict[str, str]] = []
    entries = [
        _entry(name, answer, split, guessed, judge, missing)
        for name, answer in predicted.items()
        if answer is not None
    ]
    known = codes >= 0
    on_test = measure_probe(posterior[known], codes[known], steerer.groups_)
    quality = steerer.probe_quality_
    return {
        "groups": [str(g) for g in steerer.groups_],
        "inference": steerer.inference,
        "gate_threshold": steerer.gate_threshold if steerer.inference == "gated" else None,
        "training_rows": steerer.training_rows,
        "probe": {
            "held_out": None if quality is None else quality.to_dict(),
            "test": on_test.to_dict(),
        },
        "steered_by": entries,
        "sentences": _sentences(entries, on_test.accuracy),
        "not_computed": missing,
    }


def beside_true_groups(model: Any, split: Split, judge: Judge) -> dict[str, Any] | None:
    """Return :func:`side_by_side` for a fitted ``SteeredClassifier`` that infers groups.

    None for any other model, and for one whose scores are calibrated by true groups.
    """
    steerer = getattr(model, "steerer_", None)
    if not isinstance(steerer, IdealSteerer) or getattr(model, "calibrator_", None) is not None:
        return None
    if steerer.probe_ is None:
        return None
    quick = replace(judge, n_boot=min(judge.n_boot, N_BOOT))
    # the method itself needs no known group, so neither may what stands beside it
    return side_by_side(steerer, model.estimator_, split, quick, unknown_group="identity")


def _one_hot(codes: NDArray[np.intp], posterior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the truth as a posterior; rows of an unknown group keep the probe's."""
    truth = np.eye(posterior.shape[1])[codes]
    return np.where((codes >= 0)[:, None], truth, posterior)


def _entry(
    name: str,
    predicted: Any,
    split: Split,
    guessed: NDArray[Any],
    judge: Judge,
    missing: list[dict[str, str]],
) -> dict[str, Any]:
    judged: dict[str, Any] = {}
    by_truth = judge.audit(split.y_test, predicted, split.groups_test, where=_WHERE)
    judged["true"] = _gaps(by_truth)
    try:
        judged["inferred"] = _gaps(judge.audit(split.y_test, predicted, guessed, where=_WHERE))
    except InvalidInputError as error:  # one group alone was ever inferred
        judged["inferred"] = None
        missing.append({"what": f"Steered by {name}, judged by inferred groups", "why": str(error)})
    overall = by_truth["overall"]
    utility = {k: overall[k] for k in UTILITIES if k in overall}
    return {"steered_by": name, "utility": utility, "judged_by": judged}


def _gaps(found: Mapping[str, Any]) -> dict[str, Any]:
    return {d["metric"]: d for d in found["disparities"] if d["metric"] in GAPS}


def _sentences(entries: list[dict[str, Any]], accuracy: float) -> list[str]:
    said = [
        f"The probe knew the group of {100 * accuracy:.0f} % of the test rows.",
    ]
    for entry in entries:
        by_truth = _words(entry["judged_by"]["true"])
        by_guess = _words(entry["judged_by"]["inferred"])
        if by_truth is None:
            continue
        said.append(
            f"Steered by {entry['steered_by']}, the precision-weighted rms TPR gap is {by_truth}"
            + ("." if by_guess is None else f"; an auditor with inferred groups reads {by_guess}.")
        )
    return said


def _words(gaps: Mapping[str, Any] | None) -> str | None:
    gap = None if gaps is None else gaps.get(MAIN_GAP)
    if gap is None or gap["corrected"] is None:
        return None
    return f"{gap['corrected']:.3f} (upper bound {gap['high']:.3f})"
