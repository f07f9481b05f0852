"""Probe, remove what the probe reads, and probe again: the loop inside INLP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.base import clone

from isonomy._weighted_fit import fit_weighted
from isonomy.distributions._linalg import correlation, rank_tolerance
from isonomy.errors import InvalidInputError

__all__ = ["ProbedRows", "Reading", "content_folds", "hidden_readers"]

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

NOISE = 1.6448536269514722
"""One-sided 5 % of a standard normal."""


@dataclass(frozen=True)
class Reading:
    """What one probe found in a stratum: its score and the constant's, on held-out rows.

    ``told`` says whether it was right more often than the constant, beyond noise.
    """

    score: float
    majority: float
    told: bool


@dataclass
class ProbedRows:
    """Centred rows from which one direction after another is projected out.

    ``rows`` (n, d) centred, ``scale`` (d,) divides the columns before a probe sees them,
    ``weight`` is None or (n,), ``unreadable`` (d, k) an orthonormal basis of what rows do
    not vary along, and ``basis`` (d, r) one of what has been projected out.
    """

    rows: Floats
    scale: Floats
    codes: Codes
    weight: Floats | None
    probe: Any
    unreadable: Floats
    basis: Floats

    @property
    def dimensions(self) -> int:
        """In how many dimensions rows vary before anything is removed."""
        return len(self.scale) - int(self.unreadable.shape[1])

    def fit_probe(self, chosen: NDArray[np.bool_]) -> Any | None:
        """Return the probe fitted on the chosen rows; None where they hold one group."""
        codes = self.codes[chosen]
        if len(np.unique(codes)) < 2:
            return None
        probe = clone(self.probe)
        weight = None if self.weight is None else self.weight[chosen]
        fit_weighted(probe, self.rows[chosen] / self.scale, codes, weight, where="INLP.fit")
        _check_linear(probe)
        return probe

    def remove(self, probe: Any) -> int:
        """Project out what the probe reads; return how many directions that were."""
        found = self._new_directions(_readers(probe) / self.scale)
        self.basis = np.column_stack([self.basis, found])
        self.rows -= (self.rows @ found) @ found.T
        return int(found.shape[1])

    def _new_directions(self, readers: Floats) -> Floats:
        """Return orthonormal columns that span the readers (r, d) outside the basis.

        Readers of several groups sum to 0, so that they span one dimension less.
        """
        most = max(len(readers) - 1, 1)
        lengths = np.linalg.norm(readers, axis=1)
        columns = (readers[lengths > 0] / lengths[lengths > 0, None]).T
        for _ in range(2):  # the second pass takes off what rounding left of the first
            for known in (self.unreadable, self.basis):
                columns = columns - known @ (known.T @ columns)
        left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
        zero = rank_tolerance([1.0], size=len(columns))
        room = self.dimensions - int(self.basis.shape[1])
        return np.asarray(left[:, : min(int((sizes > zero).sum()), most, room)])

    def judge(
        self, probe: Any | None, learnt: NDArray[np.bool_], judged: NDArray[np.bool_]
    ) -> Reading:
        """Return how well a probe of the rows ``learnt`` does on those ``judged``."""
        if probe is None or not judged.any():
            return Reading(np.nan, np.nan, False)
        weight = np.ones(len(self.rows)) if self.weight is None else self.weight
        constant = np.bincount(self.codes[learnt], weights=weight[learnt]).argmax()
        right = probe.predict(self.rows[judged] / self.scale) == self.codes[judged]
        trivial = self.codes[judged] == constant
        own = weight[judged]
        won, lost = float(own @ (right & ~trivial)), float(own @ (~right & trivial))
        # McNemar: where probe and constant differ, each is as often right as the other
        told = bool(won - lost > NOISE * np.sqrt(won + lost))
        total = float(own.sum())
        return Reading(float(own @ right) / total, float(own @ trivial) / total, told)


def _check_linear(probe: Any) -> None:
    if not hasattr(probe, "coef_"):
        raise InvalidInputError(
            f"`probe` of `INLP` must be a linear classifier with `coef_` after `fit`, and "
            f"{type(probe).__name__} has none. Take `LogisticRegression` or `LinearSVC`."
        )


def _readers(probe: Any) -> Floats:
    """Return the coefficients (r, d) that decide between groups."""
    coefficients = np.atleast_2d(np.asarray(probe.coef_, dtype=np.float64))
    if len(coefficients) == 1:
        return coefficients
    # the largest score wins: what all scores share decides nothing
    return np.asarray(coefficients - coefficients.mean(axis=0))


def hidden_readers(rows: Floats, weight: Floats | None, scale: Floats, dtype: Any) -> Floats:
    """Return an orthonormal basis (d, k) of the directions in which rows do not vary.

    A reader may be moved along them without reading anything else; taken off, it leaves
    constant columns and linear relations between columns as they are.
    """
    scaled = rows / scale
    part = scaled if weight is None else scaled * weight[:, None]
    total = len(rows) if weight is None else weight.sum()
    values, vectors = eigh(correlation(scaled.T @ part / total)[0])
    # eigenvalues are squares: rounding of float32 rows is squared along with them
    single = rank_tolerance([np.sqrt(max(values[-1], 0.0))], size=rows.shape[1], dtype=dtype)
    null = vectors[:, values <= max(rank_tolerance(values), single**2)]
    return np.asarray(np.linalg.qr(null / scale[:, None])[0])


def content_folds(values: NDArray[Any], codes: Codes, n_folds: int) -> Codes:
    """Deal rows into folds by what they hold, group by group, evenly.

    Equal rows of a group share a fold: the order of rows does not matter, and repeating
    rows is weighting them. Numbers count to single precision, so that float32 and float64
    rows are dealt alike, unless most rows are then no longer told apart.
    """
    with np.errstate(over="ignore"):  # numbers too large for it are one number here
        single = np.asarray(values, dtype=np.float32) + np.float32(0.0)  # no negative zero
    hashed = _hashed(single.view(np.uint32))
    if values.dtype == np.float64:
        double = _hashed((values + 0.0).view(np.uint64))
        if 2 * len(np.unique(hashed)) < len(np.unique(double)):
            hashed = double
    folds = np.zeros(len(values), dtype=np.intp)
    for code in np.unique(codes):
        mine = codes == code
        folds[mine] = np.unique(hashed[mine], return_inverse=True)[1] % n_folds
    return folds


def _hashed(bits: NDArray[Any]) -> NDArray[np.uint64]:
    """Return one number a row whose order is as good as random."""
    odd = np.random.default_rng(0).integers(0, 2**63, size=bits.shape[1], dtype=np.uint64)
    mixed = bits.astype(np.uint64) @ (np.uint64(2) * odd + np.uint64(1))
    # a sum of products has poor low bits; another product carries the high ones everywhere
    return np.asarray((mixed ^ (mixed >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15))
