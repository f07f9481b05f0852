"""Certificates: what holds after steering, of which law, for whom, within what tolerance."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

import numpy as np

from isonomy.distributions import GoodnessOfFit
from isonomy.errors import InvalidInputError
from isonomy.ideal._certify.bayes_gaps import bayes_gaps
from isonomy.ideal._certify.claims import (
    RowClaim,
    claim_of_rows,
    drift_record,
    fit_of_rows,
    fit_sentence,
    plain,
    population_sentence,
)
from isonomy.ideal._certify.drift import Drift, refit_and_transfer
from isonomy.ideal._certify.sentences import drift_sentences, fit_sentences, undrifted_sentences
from isonomy.ideal._certify.targets import Target, find_target
from isonomy.ideal._certify.transfer import Transfer, transfer
from isonomy.ideal._certify.words import law_name, on_scale
from isonomy.ideal.criteria import ideal_violation, rounding_tolerance
from isonomy.ideal.nearest import IdealSolution

__all__ = ["Certificate", "certify"]

_WHERE = "certify"

Cell = tuple[Hashable, Hashable]


@dataclass(frozen=True, eq=False)
class Certificate:
    """What is known after steering; ``str()`` gives sentences, ``to_dict()`` plain values.

    Attributes
    ----------
    sentences : tuple of str
        The certificate in words.
    law : str
        Of which distribution it speaks.
    groups, classes : tuple
        For whom.
    violation_before, violation_after : float or None
        :func:`ideal_violation` of the fitted and of the ideal distribution. What was before
        is None for a file that withholds cells.
    tolerance : float or None
        Violations up to this are rounding.
    bayes_gap_before, bayes_gap_after : float or None
        Largest difference between groups of any selection rate or (true, predicted) rate
        of the Bayes classifier that knows the group, over 0-1 cost and five random costs.
    bayes_gap_error : float or None
        Numerical error of those rates.
    kl : float or None
        Divergence paid, nats, priors included.
    kl_by_cell : dict
        {(label, group): divergence of the cell, in the direction asked}.
    transfer_by_cell : dict
        {(label, group): t}, a bound on the total variation between the steered cell (one map
        a group, no labels) and the canonical cell.
    transfer_bound : dict
        {label: largest t_ya + t_ya' over pairs of judged groups}: no head that sees steered
        rows alone can have a larger gap of its true-positive rate of that label between two
        of them, on the fitted normal cells.
    head_gap : dict
        {label: the gap of one particular head}, the Bayes rule of the canonical cells.
    informative : bool
        Whether every bound is below 1, so that it says anything.
    global_optimum, converged : bool or None
        Of the search for the nearest ideal distribution.
    drift : dict or None
        For new rows: rows by cell, divergence from the fitted cells, which moved.
    inferred_groups : dict or None
        Where groups are inferred at deployment: how well, on held-out rows.
    claim : "population", "sample" or None
        Whether it speaks of the fitted law, within ``tolerance``, or of rows, within
        ``sample["upper"]``. None in files of earlier versions.
    sample : dict or None
        With rows: gaps of the true-positive rate of the canonical Bayes rule on the steered
        rows, and bounds that hold for all labels at once with probability ``confidence``,
        whatever the law of the rows, if they had no part in the fit.
    goodness_of_fit : dict or None
        If asked for: ``GoodnessOfFit.to_dict()`` of the rows given.
    """

    sentences: tuple[str, ...]
    law: str = ""
    groups: tuple[Hashable, ...] = ()
    classes: tuple[Hashable, ...] = ()
    violation_before: float | None = None
    violation_after: float | None = None
    tolerance: float | None = None
    bayes_gap_before: float | None = None
    bayes_gap_after: float | None = None
    bayes_gap_error: float | None = None
    kl: float | None = None
    kl_by_cell: dict[Cell, float] = field(default_factory=dict)
    transfer_by_cell: dict[Cell, float] = field(default_factory=dict)
    transfer_bound: dict[Hashable, float] = field(default_factory=dict)
    head_gap: dict[Hashable, float] = field(default_factory=dict)
    informative: bool = False
    global_optimum: bool | None = None
    converged: bool | None = None
    drift: dict[str, Any] | None = None
    inferred_groups: dict[str, Any] | None = None
    claim: Literal["population", "sample"] | None = None
    sample: dict[str, Any] | None = None
    goodness_of_fit: dict[str, Any] | None = None

    @property
    def describes_rows(self) -> bool | None:
        """Whether the fitted law was not rejected as a law of the rows; None if not tested."""
        p = None if self.goodness_of_fit is None else self.goodness_of_fit["p_value"]
        return None if p is None else bool(p > 0.05)

    def __str__(self) -> str:
        return "\n".join(self.sentences)

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of plain values for JSON; cells become lists of records, NaN None."""
        return {
            "schema": 1,
            "kind": "certificate",
            "sentences": list(self.sentences),
            "law": self.law,
            "groups": [plain(g) for g in self.groups],
            "classes": [plain(c) for c in self.classes],
            "violation_before": plain(self.violation_before),
            "violation_after": plain(self.violation_after),
            "tolerance": plain(self.tolerance),
            "bayes_gap_before": plain(self.bayes_gap_before),
            "bayes_gap_after": plain(self.bayes_gap_after),
            "bayes_gap_error": plain(self.bayes_gap_error),
            "kl": plain(self.kl),
            "cells": [
                {
                    "class": plain(label),
                    "group": plain(group),
                    "kl": plain(self.kl_by_cell.get((label, group))),
                    "transfer": plain(self.transfer_by_cell.get((label, group))),
                }
                for label in self.classes
                for group in self.groups
            ],
            "by_class": [
                {
                    "class": plain(label),
                    "transfer_bound": plain(self.transfer_bound.get(label)),
                    "head_gap": plain(self.head_gap.get(label)),
                }
                for label in self.classes
            ],
            "informative": self.informative,
            "global_optimum": self.global_optimum,
            "converged": self.converged,
            "drift": self.drift,
            "inferred_groups": self.inferred_groups,
            "claim": self.claim,
            "sample": self.sample,
            "goodness_of_fit": self.goodness_of_fit,
            "describes_rows": self.describes_rows,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Rebuild from what :meth:`to_dict` returned.

        Parameters
        ----------
        stored : mapping

        Raises
        ------
        KeyError
            If a part is missing.
        """
        same = {f.name for f in fields(cls)} & stored.keys()
        parts = {name: stored[name] for name in same}
        parts |= {name: tuple(stored[name]) for name in ("sentences", "groups", "classes")}

        def by_cell(part: str) -> dict[Cell, float]:
            rows = stored["cells"]
            return {(r["class"], r["group"]): r[part] for r in rows if r[part] is not None}

        def by_class(part: str) -> dict[Hashable, float]:
            return {r["class"]: r[part] for r in stored["by_class"] if r[part] is not None}

        return cls(
            **parts,
            kl_by_cell=by_cell("kl"),
            transfer_by_cell=by_cell("transfer"),
            transfer_bound=by_class("transfer_bound"),
            head_gap=by_class("head_gap"),
        )


def certify(
    target: Any,
    X: Any = None,
    y: Any = None,
    *,
    sensitive_features: Any = None,
    confidence: float = 0.95,
    goodness_of_fit: bool | int = False,
) -> Certificate:
    """Certify a solution, a fitted steerer or a saved one; with rows, re-certify on them.

    Parameters
    ----------
    target : IdealSolution, fitted steerer, Artefact or path
        A steerer is anything with ``solution_``; an artefact of kind "ideal-steerer".
    X : (n_samples, n_features), optional
        New rows, in the coordinates in which the steerer was fitted.
    y : (n_samples,), optional
        Their labels; needed with ``X``.
    sensitive_features : (n_samples,), optional
        Their groups; needed with ``X``.
    confidence : float
        In (0, 1), with rows: of the bounds of what they show, for all labels at once.
    goodness_of_fit : bool or int
        With rows: test whether they look like cells of the fitted family, with so many
        replicates (True: 199). Takes seconds.

    Returns
    -------
    Certificate
        ``.claim`` says whether it speaks of the fitted law or of the rows.

    Raises
    ------
    InvalidInputError
        If ``target`` holds no solution, or rows come without labels or groups, or hold a
        label or group that the fit never saw.
    SingularCovarianceError
        If no group has more new rows than features.
    ArtefactError
        If a file cannot be read or holds no solution.

    Notes
    -----
    On the ideal distribution, Bayes classifiers that know the group have equal rates:
    that is what the violation and the Bayes gap show. Rows are steered without labels, by
    one map a group, which leaves the cells a little off the canonical ones. For ANY
    classifier that sees steered rows alone, not the group ::

        |TPR_y(a) - TPR_y(a')| <= t_ya + t_ya',
        t_ya = min(sqrt(KL_ya / 2), sqrt(1 - exp(-KL_ya)))

    with KL_ya the smaller of the two directions between the steered and the canonical
    cell (Pinsker; Bretagnolle and Huber). It speaks of the fitted normal cells, and does
    not promise anything about rows that are not distributed like them.
    With new rows: their cells are fitted anew, carried by the stored maps and compared
    with the stored canonical cells. Files hold no mean of a cell with few rows: such cells
    are not judged. The rows are also steered and predicted by the Bayes rule of the canonical
    cells, whose true-positive rates get Clopper-Pearson bounds, all at once by the union
    bound: that holds for any law of the rows, but for this one classifier, and only if the
    rows had no part in the fit.
    """
    if type(target).__name__ in _WITH_CATEGORIES:
        return _certify_categories(target, X)
    found = find_target(target, X)
    if found is None:
        own = getattr(target, "certificate_", None)
        if X is None and isinstance(own, Certificate):
            return own
        if type(target).__name__ == "MixtureSolution":
            raise InvalidInputError(
                f"`target` passed to `{_WHERE}` must be no MixtureSolution: mixtures are an "
                "approximation without a claim of exactness. Read its `kl` and `kl_error`."
            )
        raise InvalidInputError(
            f"`target` passed to `{_WHERE}` must be an IdealSolution, a fitted steerer that holds "
            f"one, or a saved one, got {type(target).__name__} without a solution."
        )
    if X is None and y is None and sensitive_features is None:
        if goodness_of_fit is not False:
            raise InvalidInputError(
                f"`goodness_of_fit` of `{_WHERE}` may be asked for only with rows: pass `X`, `y` "
                "and `sensitive_features` too."
            )
        return on_scale(_certify_fit(found), found.family)
    if X is None or y is None or sensitive_features is None:
        raise InvalidInputError(
            f"`X`, `y` and `sensitive_features` passed to `{_WHERE}` must come together: a "
            "certificate on new rows needs their labels and groups."
        )
    student = found.solution.source.family == "student_t"  # its drift has no known law
    judged = _certify_rows(
        found,
        None if student else refit_and_transfer(found, y, sensitive_features),
        claim_of_rows(found, y, sensitive_features, confidence),
        fit_of_rows(found, y, sensitive_features, goodness_of_fit),
    )
    return on_scale(judged, found.family)


_WITH_CATEGORIES = ("CategoricalSolution", "MixedSolution")


def _certify_categories(solution: Any, X: Any) -> Certificate:
    from isonomy.ideal._categorical.claims import categorical_certificate

    if X is not None:
        raise InvalidInputError(
            f"`X` passed to `{_WHERE}` must be left out for a {type(solution).__name__}: its "
            "certificate speaks of the fitted law. Judge rows with `audit`."
        )
    return categorical_certificate(solution)


def _certify_fit(target: Target) -> Certificate:
    solution = target.solution
    joint = solution.source
    left = _transfer_of_fit(target)
    before, after, error = bayes_gaps(solution)
    violations = ideal_violation(joint), ideal_violation(solution.distribution)
    if target.withheld.any():
        # the fitted law is not wholly in the file: nothing is known of how it was before
        before, violations = np.nan, (np.nan, violations[1])
    tolerance = rounding_tolerance(solution.distribution)
    numbers = _numbers(solution, left)
    sentences = fit_sentences(target, left, violations, tolerance, (before, after, error))
    exact = violations[1] <= tolerance
    sentences = (sentences[0], population_sentence(exact=exact), *sentences[1:])
    return Certificate(
        sentences=sentences,
        claim="population",
        violation_before=None if np.isnan(violations[0]) else violations[0],
        violation_after=violations[1],
        tolerance=tolerance,
        bayes_gap_before=None if np.isnan(before) else before,
        bayes_gap_after=after,
        bayes_gap_error=error,
        kl=solution.kl,
        kl_by_cell=dict(solution.kl_by_cell),
        **numbers,
    )


def _transfer_of_fit(target: Target) -> Transfer:
    joint = target.solution.source
    covs = np.asarray(joint.covariances)
    tied = covs[:1] if joint.is_tied else covs
    return transfer(np.asarray(joint.means), tied, target.known, target.solution)


def _certify_rows(
    target: Target, drift: Drift | None, claim: RowClaim, fit: GoodnessOfFit | None
) -> Certificate:
    solution = target.solution
    left = _transfer_of_fit(target) if drift is None else drift.transfer
    rest = undrifted_sentences(target, left) if drift is None else drift_sentences(target, drift)
    return Certificate(
        sentences=(*claim.sentences(), *fit_sentence(fit), *rest),
        claim="sample",
        sample=claim.to_dict(),
        goodness_of_fit=None if fit is None else fit.to_dict(),
        kl=solution.kl,
        drift=None if drift is None else drift_record(drift, solution.source),
        **_numbers(solution, left),
    )


def _numbers(solution: IdealSolution, left: Transfer) -> dict[str, Any]:
    joint = solution.source
    bound = left.class_bound
    return {
        "law": law_of(solution),
        "groups": joint.groups,
        "classes": joint.classes,
        "transfer_by_cell": {
            (label, group): float(left.bound[y, a])
            for y, label in enumerate(joint.classes)
            for a, group in enumerate(joint.groups)
        },
        "transfer_bound": {label: float(bound[y]) for y, label in enumerate(joint.classes)},
        "head_gap": {label: float(left.head_gap[y]) for y, label in enumerate(joint.classes)},
        "informative": bool((bound < 1.0).all()),
        "global_optimum": solution.global_optimum,
        "converged": solution.converged,
    }


def law_of(solution: IdealSolution) -> str:
    """Return in words of which law the certificate speaks."""
    kind = law_name(solution.source.family)
    weighting = "reweighed so that label and group are independent"
    if solution.priors == "keep":
        weighting = "weighted as fitted"
    return f"the {kind} cells fitted to the training rows, {weighting} (priors={solution.priors!r})"
