"""From a probe's scores to probabilities: sigmoid, isotonic and temperature, as arrays.

The same estimates as scikit-learn's ``CalibratedClassifierCV(ensemble=False)`` on scores
of held-out rows, but from scores that are already there: calibrating costs no further
fit of the probe, and what was learnt is stored without pickle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax
from sklearn.isotonic import IsotonicRegression

__all__ = ["ProbeCalibration", "fit_calibration"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ProbeCalibration:
    """A fitted calibration; ``arrays`` by name are all that it knows.

    Parameters
    ----------
    method : {"sigmoid", "isotonic", "temperature"}
    arrays : mapping of arrays
        "sigmoid": ``slope`` and ``intercept`` (n_groups,); "isotonic": ``x0``, ``y0``, ...
        (knots of each group); "temperature": ``slope`` (1,), one over the temperature.
    """

    method: str
    arrays: Mapping[str, Floats]

    def posterior(self, scores: Floats) -> Floats:
        """Return P(group | row), ``(n_samples, n_groups)``, from raw scores."""
        if self.method == "temperature":
            return np.asarray(softmax(self.arrays["slope"] * scores, axis=1))
        if self.method == "sigmoid":
            return _normalised(expit(self.arrays["slope"] * scores + self.arrays["intercept"]))
        columns = [
            np.interp(scores[:, k], self.arrays[f"x{k}"], self.arrays[f"y{k}"])
            for k in range(scores.shape[1])
        ]
        return _normalised(np.column_stack(columns))


def fit_calibration(
    method: str, scores: Floats, codes: NDArray[np.intp], weight: Floats | None
) -> ProbeCalibration:
    """Fit on scores of rows that the probe has not seen.

    Parameters
    ----------
    method : {"sigmoid", "isotonic", "temperature"}
    scores : (n_samples, n_groups)
    codes : (n_samples,)
        The true group of each row.
    weight : (n_samples,) or None

    Notes
    -----
    "sigmoid" (Platt, 1999) and "isotonic" (Zadrozny and Elkan, 2002) treat each group
    against the rest and divide by the sum; two groups need one curve. "temperature" (Guo
    and others, 2017) multiplies all scores by one number: it keeps the order of groups.
    """
    w = np.ones(len(codes)) if weight is None else weight
    fit = {"sigmoid": _sigmoid, "isotonic": _isotonic, "temperature": _temperature}[method]
    return ProbeCalibration(method, fit(scores, codes, w))


def _sigmoid(scores: Floats, codes: NDArray[np.intp], w: Floats) -> dict[str, Floats]:
    if scores.shape[1] == 2:  # column 0 is minus column 1, and so is its curve's shift
        slope, shift = _platt(scores[:, 1], codes == 1, w)
        return {"slope": np.array([slope, slope]), "intercept": np.array([-shift, shift])}
    found = [_platt(scores[:, k], codes == k, w) for k in range(scores.shape[1])]
    slopes, shifts = np.array(found).T
    return {"slope": slopes, "intercept": shifts}


def _isotonic(scores: Floats, codes: NDArray[np.intp], w: Floats) -> dict[str, Floats]:
    knots: dict[str, Floats] = {}
    for k in range(scores.shape[1])[-1:] if scores.shape[1] == 2 else range(scores.shape[1]):
        curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        curve.fit(scores[:, k], (codes == k).astype(np.float64), sample_weight=w)
        knots[f"x{k}"], knots[f"y{k}"] = curve.X_thresholds_, curve.y_thresholds_
    if scores.shape[1] == 2:  # one curve for two groups: they sum to 1
        knots |= {"x0": -knots["x1"][::-1], "y0": 1 - knots["y1"][::-1]}
    return knots


def _normalised(found: Floats) -> Floats:
    total = found.sum(axis=1, keepdims=True)
    even = np.full_like(found, 1 / found.shape[1])  # every curve may say 0
    out: Floats = np.divide(found, total, out=even, where=total > 0)
    return out


def _platt(score: Floats, member: NDArray[np.bool_], w: Floats) -> tuple[float, float]:
    """Return slope and intercept of least log loss to Platt's smoothed targets."""
    ones, zeros = w[member].sum(), w[~member].sum()
    target = np.where(member, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    centre = np.average(score, weights=w)
    spread = float(np.sqrt(np.average((score - centre) ** 2, weights=w)))
    spread = spread if spread > 0 else 1.0  # a constant score has no slope
    design = np.column_stack([(score - centre) / spread, np.ones(len(score))])
    slope, shift = _newton(design, target, w)
    return slope / spread, shift - slope * centre / spread


def _newton(design: Floats, target: Floats, w: Floats) -> tuple[float, float]:
    """Minimise the weighted log loss; smoothed targets keep the minimum finite."""

    def loss(beta: Floats) -> float:
        z = design @ beta
        return float(w @ (np.logaddexp(0, z) - target * z))

    beta, ridge = np.zeros(2), 1e-12 * w.sum() * np.eye(2)
    for _ in range(100):
        p = expit(design @ beta)
        gradient = design.T @ (w * (p - target))
        step = np.linalg.solve((design.T * (w * p * (1 - p))) @ design + ridge, gradient)
        size, now = 1.0, loss(beta)
        while loss(beta - size * step) > now and size > 1e-10:
            size /= 2
        beta = beta - size * step
        if np.abs(size * step).max() < 1e-10:
            break
    return float(beta[0]), float(beta[1])


def _temperature(scores: Floats, codes: NDArray[np.intp], w: Floats) -> dict[str, Floats]:
    rows = np.arange(len(codes))

    def loss(log_slope: float) -> float:
        return -float(w @ log_softmax(np.exp(log_slope) * scores, axis=1)[rows, codes])

    scale = max(float(np.abs(scores).max()), 1e-12)
    low, high = np.log(1e-4 / scale), np.log(1e4 / scale)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-8})
    return {"slope": np.array([np.exp(found.x)])}
