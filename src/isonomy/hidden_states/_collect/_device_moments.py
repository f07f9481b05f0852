"""Running moments of every cell on the device that makes the rows.

The same formulas as `CellMoments`, in torch: rows never leave the device, and only
counts, means and scatters do, once, at the end.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isonomy._validation import check_choice, check_count
from isonomy.distributions import CellMoments
from isonomy.distributions._accumulate import mirror_upper
from isonomy.errors import InvalidInputError
from isonomy.groups import sort_labels

__all__ = ["DeviceMoments", "accumulation_device"]

_NO_FLOAT64 = frozenset({"mps"})
"""Kinds of device that cannot compute in float64: their rows are summed on the host."""


class DeviceMoments:
    """Running counts, means and scatters of every (label, group) cell, in torch.

    Parameters
    ----------
    d : int
        Columns of every batch.
    classes, groups : sequence of labels
        May be empty: `grow` makes room for more as they appear. A code is a place in
        ``classes`` or ``groups``, in the order of appearance.
    covariance : "tied" or "full"
        One within-class covariance a group, or one covariance a cell.
    device : torch.device or str
        Where the sums live: the rows' own device wherever it computes in float64.

    Notes
    -----
    Everything is float64, whatever the dtype of the rows: they are cast up before any
    sum. The combination is that of `CellMoments` (Chan, Golub and LeVeque, 1983, eq. 2.1),
    with the rows of a batch centred so that a combined scatter is a plain sum of squares::

        t = m - sqrt(w_0 / (w_0 + w)) (m - m_0),  scatter += (x - t)'(x - t)

    with m, w the mean and number of a cell's new rows and m_0, w_0 what was known. Sums
    over cells are products with a 0/1 matrix, never scattered additions, whose order a
    GPU does not promise: the same batches in the same order give the same bits.

    A device without float64 (Apple's) sends its rows, which are fewer numbers than a
    scatter matrix, to the host, where they are summed in float64.

    Examples
    --------
    >>> moments = DeviceMoments(1, ["no", "yes"], ["a"], covariance="full", device="cpu")
    >>> moments.update(torch.tensor([[1.0], [3.0], [5.0]]), [1, 1, 0], [0, 0, 0])
    >>> moments.to_cell_moments().means.ravel()
    array([5., 2.])
    """

    def __init__(
        self,
        d: int,
        classes: Sequence[Hashable],
        groups: Sequence[Hashable],
        covariance: str = "tied",
        device: torch.device | str = "cpu",
    ) -> None:
        check_choice("covariance", covariance, ("tied", "full"), where="DeviceMoments")
        self.d = check_count("d", d, where="DeviceMoments")
        self.covariance = covariance
        self.device = accumulation_device(torch.device(device))
        self.classes: tuple[Hashable, ...] = ()
        self.groups: tuple[Hashable, ...] = ()
        self._allocate()
        self.grow(classes, groups)

    def _allocate(self) -> None:
        shape = (len(self.groups), len(self.classes))
        options: Any = {"dtype": torch.float64, "device": self.device}
        # counts steer which cells are touched: on the host, so that no batch waits for them
        self._weight = np.zeros(shape)
        self._mean = torch.zeros((*shape, self.d), **options)
        leading = shape[:1] if self.covariance == "tied" else shape
        self._scatter = torch.zeros((*leading, self.d, self.d), **options)

    def grow(self, classes: Sequence[Hashable], groups: Sequence[Hashable]) -> None:
        """Make room for these labels after those that are known; known ones may repeat."""
        new_classes = tuple(dict.fromkeys((*self.classes, *classes)))
        new_groups = tuple(dict.fromkeys((*self.groups, *groups)))
        if new_classes == self.classes and new_groups == self.groups:
            return
        g, k = self._weight.shape
        old = self._weight, self._mean, self._scatter
        self.classes, self.groups = new_classes, new_groups
        self._allocate()
        self._weight[:g, :k], self._mean[:g, :k] = old[:2]
        where = (slice(g),) if self.covariance == "tied" else (slice(g), slice(k))
        self._scatter[where] = old[2]

    def update(self, hidden: torch.Tensor, y_codes: Any, group_codes: Any) -> None:
        """Add the rows ``hidden`` (n, d) of the cells that the codes (n,) name.

        Raises
        ------
        InvalidInputError
            If shapes disagree or a code names no label.
        """
        y, a = self._checked_codes(hidden, y_codes, group_codes)
        if len(y) == 0:
            return
        rows = hidden.detach().to(self.device).to(torch.float64)
        codes = a * len(self.classes) + y
        order = np.argsort(codes, kind="stable")
        cells, starts, place = np.unique(codes[order], return_index=True, return_inverse=True)
        a, y = np.divmod(cells, len(self.classes))
        rows = rows[self._index(order)]
        centred = self._absorb_means(rows, a, y, starts, place)
        ends = np.append(starts[1:], len(rows))
        if self.covariance == "tied":
            a, first = np.unique(a, return_index=True)
            starts = starts[first]
            ends = np.append(starts[1:], len(rows))
        for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
            part = centred[start:end]
            key = int(a[i]) if self.covariance == "tied" else (int(a[i]), int(y[i]))
            self._scatter[key].addmm_(part.T, part)

    def _absorb_means(
        self,
        rows: torch.Tensor,
        a: NDArray[np.intp],
        y: NDArray[np.intp],
        starts: NDArray[np.intp],
        place: NDArray[np.intp],
    ) -> torch.Tensor:
        """Move the means to include ``rows`` (sorted by cell) and return the rows centred."""
        n_new = np.bincount(place, minlength=len(a)).astype(np.float64)
        before = self._weight[a, y]
        share = n_new / (before + n_new)
        lag = np.sqrt(before / (before + n_new))
        where, cell = (self._index(a), self._index(y)), self._index(place)
        # a cell's first row goes first: large offsets leave before anything is summed, and
        # a column that is constant in a cell gets the scatter 0 exactly
        first = rows[self._index(starts)]
        centred = rows - first[cell]
        member = torch.zeros((len(a), len(rows)), dtype=torch.float64, device=self.device)
        member[cell, torch.arange(len(rows), device=self.device)] = 1.0
        residual = (member @ centred) / self._column(n_new)
        known = self._mean[where]
        step = first + residual - known
        self._mean[where] = known + step * self._column(share)
        self._weight[a, y] += n_new
        return centred - (residual - step * self._column(lag))[cell]

    def _checked_codes(
        self, hidden: torch.Tensor, y_codes: Any, group_codes: Any
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        if hidden.ndim != 2 or hidden.shape[1] != self.d:
            raise InvalidInputError(
                f"`hidden` passed to `DeviceMoments.update` must have shape (n, {self.d}), got "
                f"{tuple(hidden.shape)}."
            )
        checked = []
        for name, given, labels in (
            ("y_codes", y_codes, self.classes),
            ("group_codes", group_codes, self.groups),
        ):
            host = given.cpu().numpy() if isinstance(given, torch.Tensor) else given
            column = np.asarray(host, dtype=np.intp)
            if column.shape != (len(hidden),):
                raise InvalidInputError(
                    f"`{name}` passed to `DeviceMoments.update` must have shape "
                    f"({len(hidden)},), got {column.shape}."
                )
            if len(column) and not 0 <= column.min() <= column.max() < len(labels):
                raise InvalidInputError(
                    f"`{name}` passed to `DeviceMoments.update` must lie in 0 to "
                    f"{len(labels) - 1}, got {column.min()} to {column.max()}. Call `grow` first."
                )
            checked.append(column)
        return checked[0], checked[1]

    def _index(self, values: NDArray[np.intp]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64)).to(self.device)

    def _column(self, values: NDArray[np.float64]) -> torch.Tensor:
        return torch.from_numpy(values).to(self.device)[:, None]

    def to_cell_moments(self) -> CellMoments:
        """Return the moments on the host, labels sorted as `CellMoments` sorts them."""
        classes, groups = sort_labels(self.classes), sort_labels(self.groups)
        y = [self.classes.index(label) for label in classes]
        a = [self.groups.index(label) for label in groups]
        weight = self._weight[np.ix_(a, y)].T
        scatter = self._scatter.cpu().numpy().copy()
        for matrix in scatter.reshape(-1, self.d, self.d):
            mirror_upper(matrix)  # the halves of a product of matrices may differ in the last bit
        tied = self.covariance == "tied"
        arrays = {
            "weight": weight,
            "n_rows": weight.astype(np.int64),
            "mean": self._mean.cpu().numpy()[np.ix_(a, y)].swapaxes(0, 1),
            "scatter": scatter[a] if tied else scatter[np.ix_(a, y)].swapaxes(0, 1),
        }
        header = {
            "n_features": self.d,
            "covariance": self.covariance,
            "classes": list(classes),
            "groups": list(groups),
            "fixed": [False, False],
            "feature_names": None,
        }
        return CellMoments.from_arrays(arrays, header)

    def state(self) -> dict[str, NDArray[np.float64]]:
        """Return what `load_state` continues from, to the bit: copies on the host."""
        return {
            "weight": self._weight.copy(),
            "mean": self._mean.cpu().numpy().copy(),
            "scatter": self._scatter.cpu().numpy().copy(),
        }

    def load_state(self, state: Mapping[str, NDArray[np.float64]]) -> None:
        """Continue from a `state` of as many features, classes and groups.

        Raises
        ------
        InvalidInputError
            If a part has another shape.
        """
        for name in ("weight", "mean", "scatter"):
            target, value = getattr(self, f"_{name}"), state[name]
            if tuple(target.shape) != tuple(value.shape):
                raise InvalidInputError(
                    f"`state[{name!r}]` of `DeviceMoments.load_state` must have shape "
                    f"{tuple(target.shape)}, got {tuple(value.shape)}."
                )
        self._weight = np.array(state["weight"], dtype=np.float64)
        self._mean = torch.from_numpy(np.array(state["mean"])).to(self.device)
        self._scatter = torch.from_numpy(np.array(state["scatter"])).to(self.device)


def accumulation_device(device: torch.device) -> torch.device:
    """Return where rows made on ``device`` are summed: there, or the host without float64."""
    return torch.device("cpu") if device.type in _NO_FLOAT64 else device
