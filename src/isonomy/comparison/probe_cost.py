"""What a wrong probe costs: gap and accuracy along the probe's knowledge of the group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray

from isonomy._group_codes import match_groups
from isonomy._validation import check_choice, check_labels, check_real
from isonomy._version import __version__
from isonomy.comparison._data import Split, describe_data
from isonomy.comparison._degraded import Rumours
from isonomy.comparison._judging import Judge, fit_head, new_steerer, plain_or_none
from isonomy.errors import InvalidInputError

__all__ = ["KNOWLEDGE", "CostPoint", "ProbeCost", "probe_cost_curve"]

_WHERE = "probe_cost_curve"

INFERENCES = ("soft", "hard", "gated")

KNOWLEDGE = (1.0, 0.9, 0.8, 0.6, 0.4, 0.2, 0.0, -0.25, -0.5, -1.0)
"""From a probe that knows every group, over one that knows nothing, to one always wrong."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class CostPoint:
    """One probe, used in one way, judged on the test rows.

    Attributes
    ----------
    probe : {"simulated", "fitted", "none"}
        A simulated probe, the steerer's own, or "none" (untouched rows).
    inference : {"soft", "hard", "gated"} or None
    knowledge : float or None
        Of a simulated probe: 1 knows, 0 guesses, -1 is always wrong.
    probe_accuracy : float or None
        Share of the test rows whose most probable group is their own.
    accuracy : float
        Of the head's decisions.
    gap, corrected, low, high, p_value : float or None
        Precision-weighted rms TPR gap by true groups: plug-in, corrected for noise, ends
        of the interval, and permutation p.
    """

    probe: Literal["simulated", "fitted", "none"]
    inference: str | None
    knowledge: float | None
    probe_accuracy: float | None
    accuracy: float
    gap: float | None
    corrected: float | None
    low: float | None
    high: float | None
    p_value: float | None


@dataclass(frozen=True)
class ProbeCost:
    """The curve that :func:`probe_cost_curve` measured.

    Attributes
    ----------
    points : tuple of CostPoint
        The untouched rows first, then the fitted probe, then the simulated ones from
        perfect to always wrong.
    groups : tuple of str
    base_rate : float
        Share of the largest group among the test rows.
    gate_threshold : float
        Of "gated".
    training_rows : str
        What the head learnt from; see ``IdealSteerer``.
    n_test : int
    data : dict
        As in a comparison.
    """

    points: tuple[CostPoint, ...]
    groups: tuple[str, ...]
    base_rate: float
    gate_threshold: float
    training_rows: str
    n_test: int
    data: dict[str, Any] = field(default_factory=dict)

    def curve(self, inference: str) -> tuple[CostPoint, ...]:
        """Return the simulated points of one way to use a probe, in order of knowledge.

        Parameters
        ----------
        inference : {"soft", "hard", "gated"}
        """
        return tuple(p for p in self.points if p.probe == "simulated" and p.inference == inference)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, kind "probe_cost"."""
        return {
            "schema": 1,
            "kind": "probe_cost",
            "isonomy_version": __version__,
            "groups": list(self.groups),
            "base_rate": self.base_rate,
            "gate_threshold": self.gate_threshold,
            "training_rows": self.training_rows,
            "n_test": self.n_test,
            "data": self.data,
            "points": [asdict(p) for p in self.points],
        }

    def to_frame(self, backend: Literal["pandas", "polars"] = "pandas") -> Any:
        """Return one row a point as a pandas or polars frame."""
        columns = {f.name: [getattr(p, f.name) for p in self.points] for f in fields(CostPoint)}
        return nw.to_native(nw.from_dict(columns, backend=backend))


def probe_cost_curve(
    X_train: Any,
    y_train: Any,
    groups_train: Any,
    X_test: Any,
    y_test: Any,
    groups_test: Any,
    *,
    estimator: Any,
    steerer: Any = None,
    knowledge: Sequence[float] = KNOWLEDGE,
    inference: Sequence[str] = INFERENCES,
    reweigh: bool = True,
    n_boot: int = 2_000,
    min_cell: int = 10,
    reference_group: Any = None,
    random_state: int = 0,
    progress: Progress | None = None,
) -> ProbeCost:
    """Measure gap and accuracy as the probe goes from perfect over useless to adversarial.

    Parameters
    ----------
    X_train, X_test : (n_samples, n_features) array or data frame
    y_train, y_test : (n_samples,)
        Class labels.
    groups_train, groups_test : (n_samples,) or (n_samples, n_attributes)
        True groups.
    estimator : classifier
        Cloned: once on untouched rows, once on steered rows (at every point, where the
        steerer's ``training_rows`` is not "given").
    steerer : IdealSteerer, optional
        With ``groups="infer"``; cloned. Default: ``IdealSteerer(groups="infer")``.
    knowledge : sequence of float
        Levels in [-1, 1]: 1 knows every group, 0 knows their shares alone, -1 is sure of a
        wrong one.
    inference : sequence of {"soft", "hard", "gated"}
        Ways to use a posterior; see ``IdealSteerer``.
    reweigh : bool
        Fit the head of the steered rows on Kamiran-Calders weights.
    n_boot, min_cell, reference_group : int, int, group
        Passed to :func:`isonomy.audit`.
    random_state : int
    progress : callable, optional
        ``progress(text, n_done, n_total)``.

    Returns
    -------
    ProbeCost

    Raises
    ------
    InvalidInputError
        If a level or a way is unknown, or ``steerer`` does not infer groups.
    UnknownGroupError
        If a test row's group was never seen in training.

    Notes
    -----
    A simulated probe of knowledge k hears a row's true group (a wrong one where k < 0)
    with probability s = abs(k), else a draw from the groups' shares p in training, and its
    posterior is s [a = told] + (1 - s) p_a: calibrated for k >= 0. It names the group it
    was told rightly with probability k + (1 - k) sum p_a^2; the most probable group of a
    useless probe is the largest for every row. One draw serves all levels.
    What it does not promise: the errors of a simulated probe fall on rows by chance, those
    of a fitted probe where groups look alike; the points of the fitted probe show which
    matters more.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from isonomy.datasets import make_biased_normals
    >>> X, y, group, _ = make_biased_normals(2000, random_state=0)
    >>> parts = (X[:1000], y[:1000], group[:1000], X[1000:], y[1000:], group[1000:])
    >>> cost = probe_cost_curve(
    ...     *parts, estimator=LogisticRegression(), knowledge=(1, 0, -1), inference=["hard"]
    ... )
    >>> [point.probe_accuracy for point in cost.curve("hard")]
    [1.0, 0.653, 0.0]
    """
    levels = _checked_levels(knowledge, inference)
    split = Split(X_train, y_train, groups_train, X_test, y_test, groups_test)
    data = describe_data(split, min_cell=min_cell, where=_WHERE)
    judge = Judge(n_boot, min_cell, reference_group, random_state)
    bench = _Bench.fit(
        new_steerer(steerer, random_state, where=_WHERE), estimator, split, judge, reweigh
    )
    n_total = 1 + len(inference) * (1 + len(levels))
    points: list[CostPoint] = []

    def add(point: CostPoint) -> None:
        points.append(point)
        if progress is not None:
            progress(f"{point.probe} probe", len(points), n_total)

    add(bench.untouched())
    for way in inference:
        add(bench.fitted(way))
    for level in levels:
        for way in inference:
            add(bench.simulated(level, way))
    share = np.bincount(bench.test.truth) / len(bench.test.truth)
    return ProbeCost(
        points=tuple(points),
        groups=tuple(str(g) for g in bench.steerer.groups_),
        base_rate=float(share.max()),
        gate_threshold=float(bench.steerer.gate_threshold),
        training_rows=str(bench.steerer.training_rows),
        n_test=len(bench.test.truth),
        data=data,
    )


def _checked_levels(knowledge: Sequence[float], inference: Sequence[str]) -> list[float]:
    for way in inference:
        check_choice("inference", way, INFERENCES, where=_WHERE)
    levels = [check_real("knowledge", k, where=_WHERE, low=-1, high=1) for k in knowledge]
    if not levels or not inference:
        raise InvalidInputError(
            f"`knowledge` and `inference` passed to `{_WHERE}` must hold one value or more each, "
            f"got {len(levels)} and {len(inference)}."
        )
    return sorted(set(levels), reverse=True)


@dataclass(frozen=True)
class _Bench:
    """Fitted parts, and the rumours that reach training and test rows."""

    steerer: Any
    estimator: Any
    split: Split
    judge: Judge
    reweigh: bool
    y: NDArray[Any]
    head: Any
    train: Rumours
    test: Rumours

    @classmethod
    def fit(cls, steerer: Any, estimator: Any, split: Split, judge: Judge, reweigh: bool) -> _Bench:
        y = check_labels(split.y_train, where=_WHERE, name="y_train")
        rows = steerer.fit_transform(split.X_train, y, sensitive_features=split.groups_train)
        head = fit_head(estimator, rows, y, split.groups_train, reweigh=reweigh, where=_WHERE)
        train, test = (
            match_groups(
                groups,
                steerer.groups_,
                n_samples=n,
                missing_groups=steerer.missing_groups,
                unknown_group="error",
                where=_WHERE,
            )
            for groups, n in ((split.groups_train, len(y)), (split.groups_test, len(split.y_test)))
        )
        if len(steerer.groups_) < 2:
            raise InvalidInputError(
                f"`groups_train` passed to `{_WHERE}` must hold at least 2 groups, got only "
                f"{steerer.groups_[0]!r}: of one group there is nothing to know."
            )
        prior = np.bincount(train) / len(train)
        seed = judge.random_state
        rumours = Rumours.draw(train, prior, seed), Rumours.draw(test, prior, seed + 1)
        return cls(steerer, estimator, split, judge, reweigh, y, head, *rumours)

    def untouched(self) -> CostPoint:
        groups, rows = self.split.groups_train, self.split.X_train
        plain = fit_head(self.estimator, rows, self.y, groups, reweigh=False, where=_WHERE)
        return self._point("none", None, None, None, plain.predict(self.split.X_test))

    def fitted(self, way: str) -> CostPoint:
        posterior = self.steerer.group_posterior(self.split.X_test)
        learnt = self.steerer.group_posterior_
        if self.steerer.training_rows == "inferred":
            learnt = self.steerer.group_posterior(self.split.X_train)
        head = self._head(way, learnt)
        return self._steered("fitted", way, None, posterior, head)

    def simulated(self, level: float, way: str) -> CostPoint:
        head = self._head(way, self.train.posterior(level))
        return self._steered("simulated", way, level, self.test.posterior(level), head)

    def _head(self, way: str, posterior: Any) -> Any:
        """Return the head for one way: its own where it learns from inferred rows."""
        if self.steerer.training_rows == "given":
            return self.head
        rows = self._moved(self.split.X_train, posterior, way)
        groups = self.split.groups_train
        return fit_head(self.estimator, rows, self.y, groups, reweigh=self.reweigh, where=_WHERE)

    def _moved(self, X: Any, posterior: Any, way: str) -> Any:
        self.steerer.set_params(inference=way)
        return self.steerer.transform_by_posterior(X, posterior)

    def _steered(self, probe: Any, way: str, level: Any, posterior: Any, head: Any) -> CostPoint:
        predicted = head.predict(self._moved(self.split.X_test, posterior, way))
        known = float((posterior.argmax(axis=1) == self.test.truth).mean())
        return self._point(probe, way, level, known, predicted)

    def _point(
        self, probe: Any, way: str | None, level: Any, known: float | None, predicted: Any
    ) -> CostPoint:
        found = self.judge.audit(self.split.y_test, predicted, self.split.groups_test, where=_WHERE)
        gap = next(d for d in found["disparities"] if d["metric"] == "rms_tpr_gap_precision")
        return CostPoint(
            probe,
            way,
            level,
            known,
            float(found["overall"]["accuracy"]["value"]),
            *(plain_or_none(gap[k]) for k in ("value", "corrected", "low", "high", "p_value")),
        )
