"""The growing arrays behind CellMoments: labels, room for new ones, and combination."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy._frames import Table
from isonomy.distributions._accumulate import (
    CellBatch,
    Covariance,
    Slab,
    add_squares,
    mirror_upper,
)
from isonomy.errors import InvalidInputError, UnknownGroupError
from isonomy.groups import sort_labels

__all__ = ["CellState", "fixed_labels", "label_positions"]


class CellState:
    """Weights, rows, means and scatters of cells whose labels may still grow in number."""

    n_features: int
    covariance: Covariance
    feature_names: tuple[str, ...] | None
    _fixed: tuple[bool, bool]
    _classes: tuple[Hashable, ...]
    _groups: tuple[Hashable, ...]

    def _allocate(self) -> None:
        shape, d = (len(self._classes), len(self._groups)), self.n_features
        self._weight = np.zeros(shape)
        self._n_rows = np.zeros(shape, dtype=np.intp)
        self._mean = np.zeros((*shape, d))
        leading = shape[1:] if self.covariance == "tied" else shape
        trailing = (d,) if self.covariance == "diagonal" else (d, d)
        self._scatter = np.zeros((*leading, *trailing))

    def _as_batch(self, y_map: NDArray[np.intp], a_map: NDArray[np.intp]) -> CellBatch:
        y, a = np.nonzero(self._weight)
        tied = self.covariance == "tied"
        return CellBatch(
            y_map[y],
            a_map[a],
            self._weight[y, a],
            self._n_rows[y, a],
            self._mean[y, a],
            self._scatter if tied else self._scatter[y, a],
            a_map if tied else a_map[a],
        )

    def _absorb_slabs(self, slabs: Iterable[Slab]) -> None:
        """Combine with further rows, slab by slab."""
        touched: set[Any] = set()
        for slab in slabs:
            y, a = slab.y, slab.a
            before, known = self._weight[y, a], self._mean[y, a]
            share = slab.weight / (before + slab.weight)
            mean = slab.centre(before, known)
            self._weight[y, a] += slab.weight
            self._n_rows[y, a] += slab.n_rows
            self._mean[y, a] += (mean - known) * share[:, None]
            for place, rows in slab.blocks(self.covariance):
                if self.covariance == "diagonal":
                    self._scatter[place] += np.einsum("ij,ij->j", rows, rows)
                else:
                    add_squares(self._scatter[place], rows)
                    touched.add(place)
        for place in touched:
            mirror_upper(self._scatter[place])

    def _absorb(self, batch: CellBatch) -> None:
        """Combine with the moments of further rows (Chan, Golub and LeVeque, eq. 2.1)."""
        y, a = batch.y, batch.a
        before = self._weight[y, a]
        share = batch.weight / (before + batch.weight)
        delta = batch.mean - self._mean[y, a]
        self._weight[y, a] += batch.weight
        self._n_rows[y, a] += batch.n_rows
        self._mean[y, a] += delta * share[:, None]
        cross = delta * np.sqrt(before * share)[:, None]
        if self.covariance == "diagonal":
            self._scatter[y, a] += np.asarray(batch.scatter) + cross**2
        elif self.covariance == "full":
            for i, (j, g) in enumerate(zip(y, a, strict=True)):
                self._scatter[j, g] += batch.scatter[i]
                if before[i] > 0:
                    self._scatter[j, g] += np.outer(cross[i], cross[i])
        else:
            for i, g in enumerate(batch.scatter_groups):
                self._scatter[g] += batch.scatter[i]
                between = cross[(a == g) & (before > 0)]
                if len(between):
                    self._scatter[g] += between.T @ between

    def _register(
        self, classes: Iterable[Hashable], groups: Iterable[Hashable], *, where: str
    ) -> None:
        """Make room for labels not seen before."""
        new_y = [c for c in classes if c not in set(self._classes)]
        new_a = [g for g in groups if g not in set(self._groups)]
        if new_y and self._fixed[0]:
            raise InvalidInputError(
                f"`y` passed to `{where}` must hold only the fixed `classes` "
                f"({', '.join(map(str, self._classes))}), got also {', '.join(map(str, new_y))}."
            )
        if new_a and self._fixed[1]:
            raise UnknownGroupError(
                f"`sensitive_features` passed to `{where}` must hold only the fixed `groups` "
                f"({', '.join(map(str, self._groups))}), got also {', '.join(map(str, new_a))}."
            )
        if not new_y and not new_a:
            return
        old_classes, old_groups = self._classes, self._groups
        old = self._weight, self._n_rows, self._mean, self._scatter
        self._classes = sort_labels((*old_classes, *new_y))
        self._groups = sort_labels((*old_groups, *new_a))
        self._allocate()
        a = label_positions(old_groups, self._groups)
        cells = np.ix_(label_positions(old_classes, self._classes), a)
        self._weight[cells], self._n_rows[cells], self._mean[cells] = old[:3]
        self._scatter[a if self.covariance == "tied" else cells] = old[3]

    def _check_columns(self, table: Table, *, where: str) -> None:
        if table.values.shape[1] != self.n_features:
            raise InvalidInputError(
                f"`X` passed to `{where}` must have {self.n_features} numeric columns, got "
                f"{table.values.shape[1]}."
            )
        if table.frame is None:
            return
        if self.feature_names is not None and table.names != self.feature_names:
            raise InvalidInputError(
                f"`X` passed to `{where}` must have the columns of the first frame, in order "
                f"({', '.join(self.feature_names)}), got {', '.join(table.names)}."
            )
        self.feature_names = table.names

    def _check_mergeable(self, other: CellState) -> None:
        if not isinstance(other, CellState):
            raise InvalidInputError(
                f"`other` of `CellMoments.merge` must be CellMoments, got {type(other).__name__}."
            )
        for name in ("n_features", "covariance"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise InvalidInputError(
                    f"`other` of `CellMoments.merge` must have the same `{name}` ({mine!r}), "
                    f"got {theirs!r}."
                )
        if None not in (self.feature_names, other.feature_names) and (
            self.feature_names != other.feature_names
        ):
            raise InvalidInputError(
                "`other` of `CellMoments.merge` must have the same columns in the same order, "
                f"got {other.feature_names} where {self.feature_names} were seen."
            )


def fixed_labels(name: str, labels: Sequence[Hashable] | None) -> tuple[Hashable, ...]:
    """Return the labels given in advance as sorted plain values; none if None."""
    if labels is None:
        return ()
    plain = sort_labels(labels)
    if len(set(plain)) < len(plain):
        raise InvalidInputError(f"`{name}` of `CellMoments` must be distinct, got {plain!r}.")
    return plain


def label_positions(labels: Sequence[Hashable], among: Sequence[Hashable]) -> NDArray[np.intp]:
    """Return where each label stands in ``among``; 0 for a label that is not there."""
    position = {label: i for i, label in enumerate(among)}
    return np.array([position.get(label, 0) for label in labels], dtype=np.intp)
