"""What `certify` was given: the solution, rows in its coordinates, and what the fit saw."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy._frames import read_table
from isonomy.artefact import Artefact, load_artefact
from isonomy.distributions.transforms import MarginalTransform
from isonomy.errors import ArtefactError, FamilyError, InvalidInputError
from isonomy.ideal._cells import Array
from isonomy.ideal._state import solution_from_state
from isonomy.ideal.nearest import IdealSolution

__all__ = ["Target", "find_target"]

_WHERE = "certify"


@dataclass(frozen=True, eq=False)
class Target:
    """A solution, rows in its coordinates, and what is known of the rows behind it.

    ``withheld`` (K, G) is True for cells whose stored mean is not their own (too few
    rows to publish it); ``n_fitted`` (K, G) are the training rows, None if unknown;
    ``family`` is the steerer's, whose solution speaks of normal cells behind transforms.
    """

    solution: IdealSolution
    rows: Any
    withheld: NDArray[np.bool_]
    n_fitted: Array | None
    family: str = "normal"

    @property
    def known(self) -> NDArray[np.bool_]:
        """Cells whose fitted law is the one that was fitted, (K, G)."""
        return ~self.withheld


def find_target(target: Any, X: Any) -> Target | None:
    """Return what ``target`` holds, or None if it holds no solution."""
    if isinstance(target, str | os.PathLike):
        target = load_artefact(target, kind="ideal-steerer")
    if isinstance(target, Artefact):
        return _from_artefact(target, X)
    if isinstance(target, IdealSolution):
        return Target(target, X, _withheld(target, {}), None)
    solution = getattr(target, "solution_", None)
    if not isinstance(solution, IdealSolution):
        return None
    convert = getattr(target, "_solution_coordinates", None)
    rows = X if X is None or convert is None else convert(X)
    family = getattr(target, "family_", "normal")
    if hasattr(target, "_withheld_cells"):  # it was loaded, and knows what its file says
        stored = {"withheld_cells": target._withheld_cells, "n_rows": target._n_rows}
        known = _withheld(solution, stored), _n_fitted(solution, stored)
        return Target(solution, rows, *known, family)
    n_rows = getattr(target, "cell_rows_", None)
    n_fitted = None if n_rows is None else np.asarray(n_rows, dtype=np.float64)
    return Target(solution, rows, _withheld(solution, {}), n_fitted, family)


def _from_artefact(artefact: Artefact, X: Any) -> Target:
    state = artefact.config.get("solution")
    if not isinstance(state, dict):
        raise ArtefactError(
            f"`target` passed to `{_WHERE}` must hold an ideal solution, got an artefact of kind "
            f"{artefact.kind!r} without one: a steerer of a single group, or a group-blind one "
            "fitted with an empty (label, group) cell, has none."
        )
    solution = solution_from_state(state, artefact.tensors)
    withheld = _withheld(solution, artefact.config)
    n_fitted = _n_fitted(solution, artefact.config)
    rows = _in_coordinates(artefact, X)
    return Target(solution, rows, withheld, n_fitted, _family_of(artefact))


def _withheld(solution: IdealSolution, config: Mapping[str, Any]) -> NDArray[np.bool_]:
    mask = np.zeros(np.shape(solution.source.prior), dtype=bool)
    try:
        for y, a in config.get("withheld_cells") or []:
            mask[y, a] = True
    except (IndexError, TypeError, ValueError) as error:
        raise ArtefactError(
            f"`target` passed to `{_WHERE}` must list its withheld cells as [class, group] "
            f"positions below {mask.shape}, got {config['withheld_cells']!r}. Save it again."
        ) from error
    return mask


def _n_fitted(solution: IdealSolution, config: Mapping[str, Any]) -> Array | None:
    """Return the training rows of the cells, from their number and the fitted priors."""
    total = config.get("n_rows")
    return None if total is None else float(total) * np.asarray(solution.source.prior)


def _family_of(artefact: Artefact) -> str:
    """Return the family that was used; older files name it among the parameters alone."""
    parameters = artefact.config.get("parameters", {})
    return str(artefact.config.get("family", parameters.get("family", "normal")))


def _in_coordinates(artefact: Artefact, X: Any) -> Any:
    """Return rows where the stored solution speaks of them: logs, or fewer coordinates."""
    if X is None:
        return None
    values = np.asarray(read_table(X, where=_WHERE).values, dtype=np.float64)
    tensors = artefact.tensors
    family = _family_of(artefact)
    if family == "nonparanormal":
        start = "working/"
        parts = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
        values = MarginalTransform.from_arrays(parts).forward(values)
    if family == "lognormal":
        if (values <= 0).any():
            raise FamilyError(
                f"`X` passed to `{_WHERE}` must be positive for a steerer of "
                f'`family="lognormal"`, got {values.min():g}.'
            )
        values = np.log(values)
    if "coordinates/centre" not in tensors:
        return values
    if values.shape[1] != len(tensors["coordinates/centre"]):
        raise InvalidInputError(
            f"`X` passed to `{_WHERE}` must have the {len(tensors['coordinates/centre'])} numeric "
            f"columns that the steerer was fitted on, got {values.shape[1]}."
        )
    return (values - tensors["coordinates/centre"]) @ tensors["coordinates/ahead"]
