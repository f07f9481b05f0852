"""Save a fitted steerer in one file, and bring it back ready to transform.

Rows are never stored. Cells with few rows took their means and variances from the other
cells when the maps were solved (``_small_cells``), so neither the stored cells nor the
maps give a single row away; the file lists those cells as withheld.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from isonomy.artefact import Artefact, load_artefact, save_artefact
from isonomy.distributions import AffineMap
from isonomy.errors import CorruptArtefactError
from isonomy.ideal import Certificate
from isonomy.ideal._state import solution_from_state, solution_to_state
from isonomy.steering._coordinates import Coordinates
from isonomy.steering._feasible import FeasibleColumns
from isonomy.steering._limits import bounds_from_plain, plain_limits
from isonomy.steering._probe_file import probe_from_state, probe_to_state, quality_from_dict
from isonomy.steering._protected import plain_protected
from isonomy.steering._small_cells import small_cells
from isonomy.steering._solve import Solved
from isonomy.steering._working_scale import WorkingScale

__all__ = ["KIND", "Saved"]

KIND = "ideal-steerer"

LOCAL_PARAMETERS = ("probe", "n_jobs", "random_state")
"""Parameters that belong to a machine or an object, not to the file."""

COORDINATES = ("centre", "ahead", "back")

Tensors = dict[str, NDArray[Any]]


class Saved:
    """The part of ``IdealSteerer`` that goes to a file and comes back."""

    def save(self, path: str | Path, *, fingerprint: Mapping[str, Any] | None = None) -> Path:
        """Write maps, solution and certificate to one safetensors file, wholly or not at all.

        Parameters
        ----------
        path : str or Path
            By custom ending in ``.safetensors``.
        fingerprint : mapping, optional
            From ``isonomy.artefact.data_fingerprint``, to recognise the training data.

        Returns
        -------
        Path

        Raises
        ------
        OutputError
            If the file cannot be written; nothing is left behind.

        Notes
        -----
        No rows are stored, and cells with fewer than 10 rows do not speak for themselves
        (see the class's notes). Of "infer" the calibration and the default probe are
        arrays. Any other ``probe`` goes through skops: without it, or where skops cannot
        write the probe, a warning names it, and the loaded steerer cannot transform.
        ``group_posterior_``, ``sample_weight_``, ``rank_curve_`` and ``feasibility_`` speak
        of training rows and are not stored; bounds that were "observed" are, and each is the
        value of some row.
        """
        return _save(self, path, fingerprint=fingerprint)

    @classmethod
    def load(cls, path: str | Path, *, trusted: Sequence[str] = ()) -> Self:
        """Return the steerer saved at ``path``, ready to transform.

        Parameters
        ----------
        path : str or Path
        trusted : sequence of str
            Types beyond scikit-learn's that the probe of "infer" may hold, for skops.

        Raises
        ------
        ArtefactError
            If the file is missing, cut off, altered, of another kind or newer.
        """
        steerer: Self = _load(cls, path, trusted=trusted)
        return steerer


def _save(steerer: Any, path: str | Path, *, fingerprint: Mapping[str, Any] | None) -> Path:
    """Write the steerer's artefact; see ``IdealSteerer.save``."""
    solved: Solved = steerer._solved()
    certificate = steerer.certificate_
    config, tensors = _fitted_state(steerer)
    tensors |= _map_tensors(steerer, solved)
    if solved.coordinates is not None:
        for name in COORDINATES:
            tensors[f"coordinates/{name}"] = getattr(solved.coordinates, name)
    config["solution"] = None
    if solved.solution is not None:
        config["solution"], arrays = solution_to_state(solved.solution)
        config["withheld_cells"] = _pooled_cells(steerer)
        loaded = hasattr(steerer, "_withheld_cells")
        config["n_rows"] = steerer._n_rows if loaded else int(np.sum(steerer.cell_rows_))
        tensors |= arrays
    quality = steerer._probe_quality
    config["probe_quality"] = None if quality is None else quality.to_dict()
    config["probe"], arrays, estimators = probe_to_state(steerer._probe, steerer.probe)
    tensors |= arrays
    return save_artefact(
        path,
        kind=KIND,
        config=config,
        tensors=tensors,
        fingerprint=fingerprint,
        certificate=None if certificate is None else certificate.to_dict(),
        estimators=estimators,
    )


def _load(cls: type[Any], path: str | Path, *, trusted: Sequence[str]) -> Any:
    """Return a fitted steerer from its artefact; see ``IdealSteerer.load``."""
    artefact = load_artefact(path, kind=KIND, trusted=trusted)
    try:
        return _restore(cls, artefact)
    except KeyError as error:
        raise CorruptArtefactError(
            f"`path` passed to `IdealSteerer.load` must hold a whole steerer, got one without "
            f"{error}. Save it again with this version."
        ) from error


def _fitted_state(steerer: Any) -> tuple[dict[str, Any], Tensors]:
    parameters = steerer.get_params(deep=False)
    config = {
        "parameters": {
            k: v.tolist() if hasattr(v, "tolist") else v  # group columns may be an array
            for k, v in parameters.items()
            if k not in LOCAL_PARAMETERS
        },
        "groups": list(steerer.groups_),
        "classes": list(steerer.classes_),
        "steered_columns": list(steerer.steered_columns_),
        "untouched_columns": list(steerer.untouched_columns_),
        "output_columns": list(steerer._output_columns),
        "n_features_in": steerer.n_features_in_,
        "feature_names_in": _names_or_none(steerer),
        "family": steerer.family_,
        "rank": steerer.rank_,
        "subspace": steerer.subspace_,
    }
    config["parameters"] |= plain_limits(parameters)
    config["parameters"]["protected"] = plain_protected(steerer.protected)
    limits = {} if steerer._limits is None else steerer._limits.to_tensors()
    return config, {"scale": steerer.scale_, **steerer._working.to_tensors(), **limits}


def _names_or_none(steerer: Any) -> list[str] | None:
    names = getattr(steerer, "feature_names_in_", None)
    return None if names is None else list(names)


def _map_tensors(steerer: Any, solved: Solved) -> Tensors:
    """Return each distinct map once, under the number of the first group that uses it."""
    tensors: Tensors = {}
    for a, group in enumerate(steerer.groups_):
        move = solved.maps[group]
        if a > 0 and move is solved.maps[steerer.groups_[0]]:
            continue
        tensors[f"maps/{a}/offset"] = move.offset
        if move.factors is None:
            tensors[f"maps/{a}/matrix"] = move.matrix
        else:
            tensors[f"maps/{a}/left"], tensors[f"maps/{a}/right"] = move.factors
    return tensors


def _map_of(tensors: Mapping[str, NDArray[Any]], a: int) -> AffineMap:
    if f"maps/{a}/offset" not in tensors:
        return _map_of(tensors, 0)
    offset = tensors[f"maps/{a}/offset"]
    if f"maps/{a}/matrix" in tensors:
        return AffineMap(tensors[f"maps/{a}/matrix"], offset)
    return AffineMap.low_rank(tensors[f"maps/{a}/left"], tensors[f"maps/{a}/right"], offset)


def _pooled_cells(steerer: Any) -> list[list[int]]:
    """Return the [class, group] positions of cells whose means are not their own."""
    if hasattr(steerer, "_withheld_cells"):  # it was loaded, and knows what its file said
        stored: list[list[int]] = steerer._withheld_cells
        return stored
    found: list[list[int]] = np.argwhere(small_cells(steerer.moments_)).tolist()
    return found


def _restore(cls: type[Any], artefact: Artefact) -> Any:
    config, tensors = artefact.config, artefact.tensors
    parameters = dict(config["parameters"])
    parameters["bounds"] = bounds_from_plain(parameters.get("bounds"))
    steerer = cls(**parameters)
    steerer.groups_, steerer.classes_ = list(config["groups"]), list(config["classes"])
    steerer.steered_columns_ = list(config["steered_columns"])
    steerer.untouched_columns_ = list(config["untouched_columns"])
    steerer._output_columns = list(config["output_columns"])
    steerer.n_features_in_ = config["n_features_in"]
    if config["feature_names_in"] is not None:
        steerer.feature_names_in_ = np.asarray(config["feature_names_in"], dtype=object)
    steerer.rank_, steerer.rank_curve_ = config["rank"], None
    steerer.sample_weight_ = None
    _restore_probe(steerer, artefact)
    steerer._scale = tensors["scale"]
    # older files know only families that are named by the parameter
    steerer.family_ = config.get("family", steerer.family)
    steerer._working = WorkingScale.from_tensors(steerer.family_, tensors)
    steerer.family_choice_ = steerer.feasibility_ = None
    steerer._limits = FeasibleColumns.from_tensors(tensors, steerer.steered_columns_)
    coordinates = None
    if "coordinates/centre" in tensors:
        coordinates = Coordinates(
            *(tensors[f"coordinates/{n}"] for n in ("centre", "ahead", "back"))
        )
    state = config["solution"]
    steerer._state = Solved(
        {group: _map_of(tensors, a) for a, group in enumerate(steerer.groups_)},
        None if state is None else solution_from_state(state, tensors),
        coordinates,
        subspace=config.get("subspace"),  # older files have none
    )
    steerer._withheld_cells = config.get("withheld_cells", [])
    steerer._n_rows = config.get("n_rows")
    # as it was issued: without the withheld cells it could not be computed again
    stored = artefact.certificate
    steerer._certificate = None if stored is None else Certificate.from_dict(stored)
    return steerer


def _restore_probe(steerer: Any, artefact: Artefact) -> None:
    labels = tuple(steerer.groups_)
    steerer.probe = artefact.estimators.get("probe_parameter")
    state = artefact.config.get("probe", {"default": True, "calibration": None})
    steerer._probe = probe_from_state(state, artefact.tensors, artefact.estimators, labels)
    steerer._probe_quality = quality_from_dict(artefact.config.get("probe_quality"), labels)
    steerer._held_out = None
    if not state["default"] and steerer.probe is None:
        steerer._lost_probe = state["class"]
