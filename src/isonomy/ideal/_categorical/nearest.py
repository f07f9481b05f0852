"""The nearest ideal of categorical columns, and the random flips that carry rows onto it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isonomy._validation import check_choice, check_random_state
from isonomy.distributions import Categorical, CategoricalJoint
from isonomy.distributions._joint_checks import group_codes, row_cells
from isonomy.errors import UnsupportedProgrammeError
from isonomy.ideal._categorical.flips import (
    FlipMap,
    fewest_flips,
    label_free_flips,
    total_variation,
)
from isonomy.ideal._categorical.programme import SolvedTables, solve_tables, total_divergence
from isonomy.ideal._cells import Array, Direction
from isonomy.ideal._priors import Priors
from isonomy.ideal._request import check_movers, check_options

__all__ = ["CategoricalSolution", "Matching", "nearest_categorical", "pack_categorical"]

Matching = Literal["identity", "permutation"]

_MOST_PRODUCT_CELLS = 100_000


@dataclass(frozen=True, eq=False)
class CategoricalSolution:
    """The nearest ideal law of categorical columns, what it cost, and the flips.

    Attributes
    ----------
    distribution : CategoricalJoint
        D~.
    kl : float
        Divergence paid in nats, priors included; infinite where it is.
    kl_by_cell : dict
        {(label, group): divergence between the cell's two laws}.
    canonical : dict
        {label: one Categorical a table}: the law of steered rows, whatever the group.
    converged : bool
        True: closed forms, or every relabelling compared.
    global_optimum : bool
        True, among laws with X independent of the group given the label (for several
        independent columns in the moment direction: with independent columns too), and for
        ``matching="permutation"`` up to one relabelling of the categories a group. Other
        ideal laws may be nearer.
    n_iter : int
        Relabellings compared; 1 with identity matching.
    history : tuple of float
        Best total after each; it never rises.
    direction, priors, moves, reference, source
        As in IdealSolution.
    matching : "identity" or "permutation"
    relabelling : tuple or None
        For every group the places of its categories in the reference's order.
    """

    distribution: CategoricalJoint
    kl: float
    kl_by_cell: dict[tuple[Hashable, Hashable], float]
    canonical: dict[Hashable, tuple[Categorical, ...]]
    converged: bool
    global_optimum: bool
    n_iter: int
    history: tuple[float, ...]
    direction: Direction
    priors: Priors
    moves: tuple[Hashable, ...]
    reference: Hashable
    source: CategoricalJoint
    matching: Matching
    relabelling: tuple[tuple[int, ...], ...] | None

    @cached_property
    def maps(self) -> dict[Hashable, tuple[FlipMap, ...]]:
        """{group: one FlipMap a table}: flips that need no label.

        Least largest total variation over classes to the canonical laws, then least
        weighted sum of it, then fewest expected flips: linear programmes, solved when first
        asked for. One map a group cannot in general reach every canonical law: flips never
        increase the total variation between the laws of two classes, so that if the
        canonical ones are farther apart than the group's own, some of it stays (``residual``).
        """
        source = self.source
        share = source.prior / source.prior.sum(axis=0)
        found: dict[Hashable, tuple[FlipMap, ...]] = {}
        for a, group in enumerate(source.groups):
            found[group] = tuple(
                FlipMap(label_free_flips(table[:, a], self._common(j), share[:, a]), names)
                for j, (table, names) in enumerate(
                    zip(source.tables, source.categories, strict=True)
                )
            )
        return found

    @cached_property
    def residual_by_cell(self) -> dict[tuple[Hashable, Hashable], float]:
        """{(label, group): total variation between flipped and canonical cell}.

        Exact up to 100,000 combinations of categories; beyond, the sum over columns, which
        is an upper bound.
        """
        left: dict[tuple[Hashable, Hashable], float] = {}
        for a, group in enumerate(self.source.groups):
            for y, label in enumerate(self.source.classes):
                laws = [
                    (flips.push(table[y, a]), self._common(j)[y])
                    for j, (flips, table) in enumerate(
                        zip(self.maps[group], self.source.tables, strict=True)
                    )
                ]
                left[label, group] = _product_distance(laws)
        return left

    @property
    def residual(self) -> dict[Hashable, float]:
        """{label: the largest of ``residual_by_cell`` over groups}."""
        cells = self.residual_by_cell
        return {
            label: max(cells[label, group] for group in self.source.groups)
            for label in self.source.classes
        }

    def _common(self, table: int) -> Array:
        return np.stack([self.canonical[y][table].probabilities for y in self.source.classes])

    def flips_of_cell(self, label: Hashable, group: Hashable) -> tuple[FlipMap, ...]:
        """Return the fewest flips from a fitted cell to that cell of ``distribution``.

        Parameters
        ----------
        label, group : hashable

        Notes
        -----
        For each table, P(flip) is the total variation between the two laws, which no
        other coupling undercuts.
        """
        y, a = self.source.classes.index(label), self.source.groups.index(group)
        parts = zip(
            self.source.tables, self.distribution.tables, self.source.categories, strict=True
        )
        return tuple(FlipMap(fewest_flips(p[y, a], q[y, a]), names) for p, q, names in parts)

    def steer(
        self, X: Any, *, sensitive_features: Any, y: Any = None, random_state: Any = 0
    ) -> Any:
        """Flip categories at random, as few as possible.

        Parameters
        ----------
        X : array or data frame
            With the columns of the fit; others pass untouched.
        sensitive_features : (n_samples,)
            Groups of the rows, all known to ``source``.
        y : (n_samples,), optional
            Labels: training rows, carried onto ``distribution`` cell by cell, exactly in
            law. Without, one map a group carries them near to ``canonical``.
        random_state : int, RandomState or None
            The same number flips the same rows.

        Returns
        -------
        Same kind as ``X``.

        Raises
        ------
        InvalidInputError
            If shapes disagree or a group, label or category is unknown.
        """
        where, source = "CategoricalSolution.steer", self.source
        read = source._read(X, where=where)
        codes = source.codes(read.values, where=where)
        rng = check_random_state(random_state)
        n = read.n_rows
        if y is None:
            a = group_codes(sensitive_features, source.groups, n, where=where)
            label_codes: NDArray[np.intp] = np.zeros(n, dtype=np.intp)
            labels: Sequence[Any] = [None]
        else:
            known = source.classes, source.groups
            label_codes, a = row_cells(y, sensitive_features, *known, n, where=where)
            labels = source.classes
        moved = [c.copy() for c in codes]
        for g, group in enumerate(source.groups):
            for j, label in enumerate(labels):
                rows = np.flatnonzero((a == g) & (label_codes == j))
                if len(rows) == 0:
                    continue
                flips = self.maps[group] if y is None else self.flips_of_cell(label, group)
                for t, flip in enumerate(flips):
                    moved[t][rows] = flip._moved(codes[t][rows], rng)
        return read.rebuild(source.values_of(moved))


def nearest_categorical(
    joint: CategoricalJoint,
    *,
    moves: Any = "all",
    reference: Hashable | None = None,
    direction: Direction = "information",
    priors: Priors = "reweigh",
    map_family: Any = "affine",
    matching: Matching = "identity",
) -> CategoricalSolution:
    """Return the ideal law nearest to categorical columns, categories matched by name.

    Parameters
    ----------
    joint : CategoricalJoint
    moves, reference, direction, priors
        As in `nearest_ideal`. Groups that stay must have equal laws.
    map_family : "affine"
        The default; categories know no other.
    matching : "identity" or "permutation"
        "permutation" also relabels the categories of a group, all classes alike, and
        compares every relabelling (at most 10,000). It can be nearer, but it changes what
        categories mean.

    Raises
    ------
    InvalidInputError
        If an argument names an unknown group or choice, or every divergence is infinite.
    NotIdealError
        If groups that stay differ, or ``priors="keep"`` and label and group are dependent.
    UnsupportedProgrammeError
        If ``map_family`` is another, or there are too many relabellings.
    """
    check_options(direction, priors, map_family)
    check_choice("matching", matching, ("identity", "permutation"), where="nearest_categorical")
    if map_family != "affine":
        raise UnsupportedProgrammeError(
            "`map_family` of `nearest_ideal` must be left at 'affine' for categorical columns, got "
            f"{map_family!r}: categories are matched by name."
        )
    movers, chosen = check_movers(joint, moves, reference, priors)
    asked = movers, chosen, direction, priors
    solved = solve_tables(joint.tables, joint.prior, *asked, matching)
    return pack_categorical(joint, solved, *asked, matching)


def pack_categorical(
    joint: CategoricalJoint,
    solved: SolvedTables,
    movers: Sequence[int],
    reference: int,
    direction: Direction,
    priors: Priors,
    matching: Matching = "identity",
) -> CategoricalSolution:
    """Return the solution of solved tables."""
    tables = [_spread(law, len(joint.groups), solved.relabelling) for law in solved.common]
    pairs = [(y, a) for y in range(len(joint.classes)) for a in range(len(joint.groups))]
    return CategoricalSolution(
        distribution=joint._with(tables, solved.prior),
        kl=total_divergence(solved.prior, joint.prior, solved.paid, direction),
        kl_by_cell={
            (joint.classes[y], joint.groups[a]): float(solved.paid[y, a]) for y, a in pairs
        },
        canonical={
            label: tuple(
                Categorical(law[y], names)
                for law, names in zip(solved.common, joint.categories, strict=True)
            )
            for y, label in enumerate(joint.classes)
        },
        converged=True,
        global_optimum=True,
        n_iter=solved.n_tried,
        history=solved.history,
        direction=direction,
        priors=priors,
        moves=tuple(joint.groups[a] for a in movers),
        reference=joint.groups[reference],
        source=joint,
        matching=matching,
        relabelling=solved.relabelling,
    )


def _spread(
    law: Array, n_groups: int, relabelling: tuple[tuple[int, ...], ...] | None
) -> NDArray[np.float64]:
    table = np.repeat(law[:, None], n_groups, axis=1)
    if relabelling is not None:
        for a, names in enumerate(relabelling):
            table[:, a, list(names)] = law
    return table


def _product_distance(laws: Sequence[tuple[Array, Array]]) -> float:
    if np.prod([float(len(p)) for p, _ in laws]) > _MOST_PRODUCT_CELLS:
        return float(min(1.0, sum(float(total_variation(p, q)) for p, q in laws)))
    p, q = (reduce(np.multiply.outer, side).ravel() for side in zip(*laws, strict=True))
    return float(total_variation(p, q))
