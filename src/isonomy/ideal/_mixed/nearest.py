"""The nearest ideal of mixed tables: a numeric and a categorical part with shared priors."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray

from isonomy._frames import Table, is_frame
from isonomy.distributions import AffineMap, MixedJoint
from isonomy.distributions._category_columns import CategoryTable, two_dimensional, wide_array
from isonomy.distributions._mixed_columns import MixedColumns
from isonomy.ideal._categorical.flips import FlipMap
from isonomy.ideal._categorical.nearest import CategoricalSolution, pack_categorical
from isonomy.ideal._categorical.programme import SolvedTables, solve_tables, total_divergence
from isonomy.ideal._cells import Direction
from isonomy.ideal._priors import Priors
from isonomy.ideal._programmes import check_stayers, ideal_prior, solve_request
from isonomy.ideal._request import check_request
from isonomy.ideal.nearest import IdealSolution, PendingIdeal

__all__ = ["MixedSolution", "nearest_mixed"]

_AS_GOOD_AS_INFINITE = 700.0
"""Nats: exp(-700) is nearly the least number there is."""


@dataclass(frozen=True, eq=False)
class MixedSolution:
    """The nearest ideal law of a mixed table: a numeric and a categorical solution.

    Ideal because, given Y independent of A, cells that are ``T_a # N_y`` times a law of the
    categories that does not depend on a are the images of ``N_y x P_y`` under the class-free
    bijection ``(x, c) -> (T_a(x), c)``: the posterior at the image is that at the original, in
    every group.

    Attributes
    ----------
    numeric : IdealSolution
    categorical : CategoricalSolution
        Both with the priors of ``distribution``, and with divergences that include them.
    distribution : MixedJoint
    kl : float
        Divergence in nats: priors once, and the cells of both parts.
    kl_by_cell : dict
        {(label, group): both parts' divergence}.
    converged : bool
    global_optimum : bool
        As of the numeric part, within laws with independent parts given label and group.
    n_iter : int
    history : tuple of float
    direction, priors, moves, reference, source
        As in IdealSolution.
    """

    numeric: IdealSolution
    categorical: CategoricalSolution
    distribution: MixedJoint
    kl: float
    kl_by_cell: dict[tuple[Hashable, Hashable], float]
    converged: bool
    global_optimum: bool
    n_iter: int
    history: tuple[float, ...]
    direction: Direction
    priors: Priors
    moves: tuple[Hashable, ...]
    reference: Hashable
    source: MixedJoint

    @cached_property
    def maps(self) -> dict[Hashable, tuple[AffineMap, tuple[FlipMap, ...]]]:
        """{group: (map of the latent numeric columns, flips of the categorical ones)}."""
        flips = self.categorical.maps
        return {group: (found, flips[group]) for group, found in self.numeric.maps.items()}

    @property
    def canonical(self) -> dict[Hashable, tuple[Any, Any]]:
        """{label: (numeric law, categorical laws)} of steered rows."""
        beside = self.categorical.canonical
        return {label: (law, beside[label]) for label, law in self.numeric.canonical.items()}

    @property
    def residual(self) -> dict[Hashable, float]:
        """{label: total variation that the label-free flips leave at most}, as `categorical`'s."""
        return self.categorical.residual

    def steer(
        self, X: Any, *, sensitive_features: Any, y: Any = None, random_state: Any = 0
    ) -> Any:
        """Carry rows to the canonical law: numbers by their group's map, categories by flips.

        Parameters
        ----------
        X : array or data frame
            Laid out as in the fit.
        sensitive_features : (n_samples,)
            Groups of the rows, all known to ``source``.
        y : (n_samples,), optional
            Labels of training rows: categories are then flipped cell by cell, exactly in
            law. Numbers go by their group's map in either case.
        random_state : int, RandomState or None
            The same number flips the same rows.

        Returns
        -------
        Same kind as ``X``, same columns in the same order.

        Raises
        ------
        InvalidInputError
            If shapes disagree or a group, label or category is unknown.
        """
        where, columns = "MixedSolution.steer", self.source.columns
        values = columns.numbers(X, where=where)
        moved = self.numeric.steer(values, sensitive_features=sensitive_features)
        flipped = self.categorical.steer(
            columns.categories(X, where=where),
            sensitive_features=sensitive_features,
            y=y,
            random_state=random_state,
        )
        return self._rebuild(X, moved, flipped, where)

    def _rebuild(
        self, X: Any, moved: NDArray[np.float64], flipped: NDArray[Any], where: str
    ) -> Any:
        columns = self.source.columns
        if not is_frame(X):
            return _rebuilt_array(two_dimensional(X), moved, flipped, columns)
        names = columns._named(X, columns.categorical, where=where)
        lists = [flipped[:, j].tolist() for j in range(flipped.shape[1])]
        table = CategoryTable(tuple(lists), tuple(names), X)
        frame = nw.from_native(table.rebuild(lists), eager_only=True)
        numeric = tuple(columns._named(X, columns.numeric, where=where))
        return Table(moved, numeric, (), frame).rebuild(moved)


def _rebuilt_array(
    rows: NDArray[Any], moved: NDArray[np.float64], flipped: NDArray[Any], columns: MixedColumns
) -> NDArray[Any]:
    """Return rows with both parts replaced: whole numbers become floats, text stays text."""
    if rows.dtype.kind in "iub":
        rows = rows.astype(np.float64)
    values: NDArray[Any] = moved
    if rows.dtype.kind in "US":
        values = moved.astype(str)
        rows = rows.astype(np.result_type(rows.dtype, values.dtype))
    whole = wide_array(rows, list(dict.fromkeys(flipped.ravel().tolist())))
    whole[:, columns.numeric_places] = values
    whole[:, columns.categorical_places] = flipped
    return whole


def nearest_mixed(
    joint: MixedJoint,
    *,
    moves: Any,
    reference: Hashable | None,
    direction: Any,
    priors: Any,
    map_family: Any,
) -> MixedSolution:
    """Return the nearest ideal law of a mixed table, from what `nearest_ideal` was asked.

    Notes
    -----
    Given the priors the two parts do not meet: the total is that of the priors plus
    ``sum_ya w_ya (KL_ya numeric + KL_ya categorical)``. Priors "joint" minimise this sum; the
    categorical divergences do not depend on them.
    """
    numeric, categorical = joint.numeric, joint.categorical
    request = check_request(
        numeric,
        moves=moves,
        reference=reference,
        direction=direction,
        priors=priors,
        map_family=map_family,
    )
    asked = request.movers, request.reference, request.direction, request.priors
    tables = solve_tables(categorical.tables, categorical.prior, *asked)
    # where a label costs infinity, so does every answer: the search needs numbers
    paid = np.where(np.isinf(tables.paid), _AS_GOOD_AS_INFINITE, tables.paid)
    prior, settled = ideal_prior(request, beside=paid)
    fitted = request.cells.prior
    weights = prior if request.direction == "information" else fitted
    solved = solve_request(request, request.cells, weights)
    check_stayers(request, solved, joint.groups)
    found = PendingIdeal(numeric, request, solved, prior, settled).solution()
    total = total_divergence(prior, fitted, tables.paid, request.direction)
    settled_tables = SolvedTables(tables.common, tables.paid, prior, None, (total,))
    beside = pack_categorical(categorical, settled_tables, *asked)
    cost = float((weights * tables.paid).sum())
    return MixedSolution(
        numeric=found,
        categorical=beside,
        distribution=MixedJoint(found.distribution, beside.distribution, joint.columns),
        kl=found.kl + cost,
        kl_by_cell={pair: kl + beside.kl_by_cell[pair] for pair, kl in found.kl_by_cell.items()},
        converged=found.converged,
        global_optimum=found.global_optimum,
        n_iter=found.n_iter,
        history=tuple(value + cost for value in found.history),
        direction=found.direction,
        priors=found.priors,
        moves=found.moves,
        reference=found.reference,
        source=joint,
    )
