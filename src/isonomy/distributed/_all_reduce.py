"""Sum moments over processes, so that every process holds the moments of all rows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions import CellMoments
from isonomy.distributions._accumulate import Covariance
from isonomy.errors import InvalidInputError
from isonomy.groups import sort_labels

__all__ = ["Processes", "all_reduce_moments"]


class Processes(Protocol):
    """What an all-reduce asks of the processes that take part."""

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, by rank."""

    def sum(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the sum over all processes, the same bits on each."""


def all_reduce_moments(
    mine: Mapping[int | None, CellMoments], processes: Processes
) -> dict[int | None, CellMoments]:
    """Return, on every process, the moments of the rows of all processes.

    Parameters
    ----------
    mine : mapping of layer to CellMoments
        Empty on a process without rows. Classes and groups may differ; they are united.
    processes : Processes

    Returns
    -------
    dict of layer to CellMoments
        The same bits on every process.

    Raises
    ------
    InvalidInputError
        If numbers of features or kinds of covariance differ between processes.

    Notes
    -----
    Scatters are not plain sums: each is about its own mean. With w_p, m_p, S_p the weight,
    mean and scatter of a cell on process p, and c the mean on the first process that has
    the cell, three sums go over the wire::

        w = sum w_p,   m = c + sum w_p (m_p - c) / w
        S = sum [S_p + w_p (m_p - m)(m_p - m)']

    Every term of S is positive semi-definite, so that nothing cancels, and with c taken out
    a column that is constant in a cell keeps the scatter 0 exactly. (Sums of w_p m_p m_p'
    would lose all digits of S where the mean is large beside the deviations.) Each process
    sends and receives one scatter, whatever the number of processes; gathering them all
    would take one for each.
    """
    heads = processes.gather(
        {
            layer: (moments.classes, moments.groups, moments.counts, *_kind(moments))
            for layer, moments in mine.items()
        }
    )
    layers = list(dict.fromkeys(layer for head in heads for layer in head))
    return {
        layer: _sum_layer(mine.get(layer), [head.get(layer) for head in heads], processes)
        for layer in layers
    }


def _kind(moments: CellMoments) -> tuple[int, Covariance]:
    return moments.n_features, moments.covariance


def _agreed(kinds: list[tuple[int, Covariance]]) -> tuple[int, Covariance]:
    # every process sees the kinds of all: they all raise, or none does
    if len(set(kinds)) > 1:
        raise InvalidInputError(
            "All processes of `collect_with_accelerate` must collect moments of one number of "
            "features and one kind of covariance, got "
            f"{', '.join(f'{d} features, {kind}' for d, kind in dict.fromkeys(kinds))}. "
            "Give each process the same model and arguments."
        )
    return kinds[0]


def _sum_layer(mine: CellMoments | None, heads: list[Any], processes: Processes) -> CellMoments:
    known = [head for head in heads if head is not None]
    classes = sort_labels({label for head in known for label in head[0]})
    groups = sort_labels({label for head in known for label in head[1]})
    d, covariance = _agreed([head[3:] for head in known])
    frame = CellMoments(d, covariance=covariance, classes=classes, groups=groups)
    arrays, header = (frame if mine is None else frame.merge(mine)).to_arrays()
    weight, mean, scatter = arrays["weight"], arrays["mean"], arrays["scatter"]
    counts = [np.zeros(weight.shape) if h is None else _spread(h, classes, groups) for h in heads]
    first = np.argmax(np.array(counts) > 0, axis=0)
    leads = (first == processes.rank) & (weight > 0)

    shift = processes.sum(np.where(leads[..., None], mean, 0.0))
    total = processes.sum(weight)
    divisor = np.where(total > 0, total, 1.0)[..., None]
    centre = shift + processes.sum(weight[..., None] * (mean - shift)) / divisor
    _add_between(scatter, weight, mean - centre, covariance)
    merged = {
        "weight": total,
        "n_rows": processes.sum(arrays["n_rows"]),
        "mean": centre,
        "scatter": processes.sum(scatter),
    }
    return CellMoments.from_arrays(merged, {**header, "fixed": [False, False]})


def _spread(
    head: tuple[Any, ...], classes: tuple[Hashable, ...], groups: tuple[Hashable, ...]
) -> NDArray[np.float64]:
    """Return the weights of one process in the places of the united labels."""
    spread = np.zeros((len(classes), len(groups)))
    rows, columns = ([among.index(label) for label in labels]
                     for labels, among in ((head[0], classes), (head[1], groups)))  # fmt: skip
    spread[np.ix_(rows, columns)] = head[2]
    return spread


def _add_between(
    scatter: NDArray[np.float64],
    weight: NDArray[np.float64],
    delta: NDArray[np.float64],
    covariance: str,
) -> None:
    """Add w (m_p - m)(m_p - m)' of every cell, in place."""
    cross = delta * np.sqrt(weight)[..., None]
    if covariance == "diagonal":
        scatter += cross**2
        return
    for a in range(weight.shape[1]):
        if covariance == "tied":
            rows = cross[weight[:, a] > 0, a]
            scatter[a] += rows.T @ rows
            continue
        for y in np.flatnonzero(weight[:, a]):
            scatter[y, a] += np.outer(cross[y, a], cross[y, a])
