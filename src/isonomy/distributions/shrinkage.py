"""Shrink a covariance toward a scaled identity, in coordinates without units.

Every column is first divided by its pooled standard deviation, so that measuring it in
other units changes that column's unit in the result and nothing else.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf_shrinkage, shrunk_covariance

from isonomy._validation import check_real
from isonomy.errors import InvalidInputError

__all__ = [
    "Shrinkage",
    "blend",
    "check_shrinkage",
    "ledoit_wolf_intensity",
    "oas_intensity",
    "shrink",
]

Shrinkage = Literal["oas", "ledoit-wolf"] | float | None


def check_shrinkage(value: Any, *, where: str) -> Shrinkage:
    """Return ``value`` if it names a method or is an intensity in [0, 1]; 0 is None."""
    if value is None:
        return None
    if isinstance(value, str) and value == "oas":
        return "oas"
    if isinstance(value, str) and value == "ledoit-wolf":
        return "ledoit-wolf"
    if isinstance(value, str):
        raise InvalidInputError(
            f"`shrinkage` of `{where}` must be None, 'oas', 'ledoit-wolf' or a number in "
            f"[0, 1], got {value!r}."
        )
    return check_real("shrinkage", value, where=where, low=0.0, high=1.0) or None


def shrink(
    covariance: NDArray[np.float64],
    n: float,
    method: Shrinkage,
    *,
    scale: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the covariance shrunk toward a multiple of ``diag(scale^2)``.

    Parameters
    ----------
    covariance : (d, d), or variances (d,)
        Divisor n.
    n : float
        Rows (total weight) behind it.
    method : "oas", a number in [0, 1], or None
        None leaves it as it is.
    scale : (d,), optional
        Pooled standard deviations; default those of ``covariance``. A column of scale 0
        keeps its zeros.

    Raises
    ------
    InvalidInputError
        If ``method`` is "ledoit-wolf", which needs rows.

    Notes
    -----
    With R the covariance of the columns divided by ``scale``, p their number and rho the
    intensity: ``(1 - rho) R + rho (tr R / p) I``, scaled back.

    Examples
    --------
    >>> shrink(np.array([[4.0, 1.0], [1.0, 1.0]]), 10, 0.5)
    array([[4. , 0.5],
           [0.5, 1. ]])
    """
    if method is None:
        return covariance
    if method == "ledoit-wolf":
        raise InvalidInputError(
            "`shrinkage='ledoit-wolf'` needs the rows, and moments do not hold them. Use "
            "`JointDistribution.fit`, or `shrinkage='oas'`, which needs the moments alone."
        )
    if scale is None:
        variance = covariance if covariance.ndim == 1 else np.diagonal(covariance)
        scale = np.sqrt(np.maximum(variance, 0.0))
    inner = _standardised(covariance, scale)
    intensity = oas_intensity(inner, n) if method == "oas" else float(method)
    return _mix(covariance, inner, intensity, scale)


def blend(
    covariance: NDArray[np.float64], intensity: float, scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return ``(1 - rho) R + rho (tr R / p) I`` scaled back, R in units of ``scale``."""
    return _mix(covariance, _standardised(covariance, scale), intensity, scale)


def _mix(
    covariance: NDArray[np.float64],
    inner: NDArray[np.float64],
    intensity: float,
    scale: NDArray[np.float64],
) -> NDArray[np.float64]:
    live = scale > 0
    units = scale[live]
    if len(units) == 0:
        return covariance.copy()
    if covariance.ndim == 1:
        mixed = ((1.0 - intensity) * inner + intensity * inner.mean()) * units**2
    else:
        mixed = shrunk_covariance(inner, shrinkage=intensity)
        mixed *= units
        mixed *= units[:, None]
    if live.all():
        return np.asarray(mixed)
    out = covariance.copy()
    out[live if out.ndim == 1 else np.ix_(live, live)] = mixed
    return out


def _standardised(
    covariance: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the covariance of the columns of positive scale, in units of that scale."""
    live = scale > 0
    units = scale[live]
    if covariance.ndim == 1:
        return covariance[live] / units**2
    inner = covariance if live.all() else covariance[np.ix_(live, live)]
    out: NDArray[np.float64] = inner / units
    out /= units[:, None]
    return out


def oas_intensity(covariance: NDArray[np.float64], n: float) -> float:
    """Return the intensity of the oracle approximating shrinkage estimator.

    Parameters
    ----------
    covariance : (p, p), or variances (p,)
        Divisor n; standardise it first.
    n : float
        Rows behind it.

    Returns
    -------
    float
        In [0, 1].

    Notes
    -----
    With S the covariance, p its size, a = tr(S^2)/p^2 and m = tr(S)/p::

        rho = min(1, (a + m^2) / ((n + 1) (a - m^2 / p)))

    Source: Chen, Wiesel, Eldar and Hero, Shrinkage algorithms for MMSE covariance
    estimation (2010), eq. 23 without its 2/p, as in scikit-learn, whose value it equals.

    Examples
    --------
    >>> round(oas_intensity(np.array([1.0, 3.0]), 100), 4)
    0.1287
    """
    p = len(covariance)
    if p == 0:
        return 0.0
    trace = covariance.sum() if covariance.ndim == 1 else np.trace(covariance)
    a, m = float(np.vdot(covariance, covariance)) / p**2, float(trace) / p
    denominator = (n + 1.0) * (a - m**2 / p)
    return 1.0 if denominator <= 0 else min((a + m**2) / denominator, 1.0)


def ledoit_wolf_intensity(
    rows: NDArray[np.float64], weight: NDArray[np.float64] | None = None
) -> float:
    """Return the Ledoit-Wolf intensity of centred, standardised rows.

    Parameters
    ----------
    rows : (n, p)
        Centred, in units of the pooled standard deviation.
    weight : (n,), optional
        Integer weights equal repeated rows.

    Returns
    -------
    float
        In [0, 1].

    Notes
    -----
    With n the total weight, S = rows' W rows / n, m = tr(S)/p::

        beta = (sum_i w_i ||x_i||^4 / n - ||S||^2) / (n p)
        delta = (||S||^2 - p m^2) / p,   rho = min(beta, delta) / delta

    Source: Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance
    matrices (2004), section 3.2.

    Examples
    --------
    >>> rows = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> round(ledoit_wolf_intensity(rows), 4)
    0.9444
    """
    if weight is None:
        return float(ledoit_wolf_shrinkage(rows, assume_centered=True))
    p, n = rows.shape[1], float(weight.sum())
    if p == 1:
        return 0.0
    s = (rows * weight[:, None]).T @ rows / n
    norm, m = float((s**2).sum()), float(np.trace(s)) / p
    fourth = float(weight @ (rows**2).sum(axis=1) ** 2) / n
    delta = (norm - p * m**2) / p
    beta = min((fourth - norm) / (n * p), delta)
    return 0.0 if beta <= 0 else beta / delta
