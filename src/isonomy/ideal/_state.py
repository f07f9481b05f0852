"""An `IdealSolution` as plain settings and arrays, for saving, and back."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isonomy.distributions import AffineMap, JointDistribution, Normal
from isonomy.distributions._shape import shape_from_arrays
from isonomy.errors import ArtefactError, InvalidInputError
from isonomy.ideal.nearest import IdealSolution

__all__ = ["PREFIX", "solution_from_state", "solution_to_state"]

PREFIX = "solution/"
"""Names of a solution's arrays start with this."""

SHAPE = PREFIX + "shape/"
"""Of what a family needs besides location and scatter."""

State = tuple[dict[str, Any], dict[str, NDArray[Any]]]


def solution_to_state(solution: IdealSolution) -> State:
    """Return a solution as plain settings and arrays, ready for an artefact.

    Parameters
    ----------
    solution : IdealSolution

    Returns
    -------
    config : dict
        What JSON can hold; goes into an artefact's config under ``"solution"``.
    tensors : dict of arrays
        Named ``solution/...``.

    Raises
    ------
    InvalidInputError
        If a label or group is no string, number or boolean.
    """
    joint = solution.source
    tensors: dict[str, NDArray[Any]] = {}
    for name, law in (("source", joint), ("ideal", solution.distribution)):
        tensors[f"{PREFIX}{name}/means"] = np.asarray(law.means)
        covs = np.asarray(law.covariances)
        # one covariance a group where the classes share it: K times smaller
        shared = all(np.array_equal(covs[0], c) for c in covs[1:])
        tensors[f"{PREFIX}{name}/covariances"] = covs[0] if shared else covs
        tensors[f"{PREFIX}{name}/prior"] = np.asarray(law.prior)
    if joint.shape is not None:
        parts = joint.shape.to_arrays()
        tensors |= {f"{SHAPE}{name}": part for name, part in parts.items()}
    for a, group in enumerate(joint.groups):
        move = solution.maps[group]
        tensors[f"{PREFIX}maps/{a}/offset"] = move.offset
        if move.factors is None:
            tensors[f"{PREFIX}maps/{a}/matrix"] = move.matrix
        else:
            tensors[f"{PREFIX}maps/{a}/left"], tensors[f"{PREFIX}maps/{a}/right"] = move.factors
    tensors[PREFIX + "kl_by_cell"] = np.array(
        [[solution.kl_by_cell[y, a] for a in joint.groups] for y in joint.classes]
    )
    tensors[PREFIX + "history"] = np.array(solution.history)
    index = joint.groups.index
    config = {
        "classes": [_to_plain(label) for label in joint.classes],
        "groups": [_to_plain(group) for group in joint.groups],
        "family": joint.family,
        "kl": solution.kl,
        "converged": solution.converged,
        "global_optimum": solution.global_optimum,
        "n_iter": solution.n_iter,
        "direction": solution.direction,
        "priors": solution.priors,
        "moves": [index(group) for group in solution.moves],
        "reference": index(solution.reference),
        "protected": list(solution.protected),
    }
    return config, tensors


def solution_from_state(
    config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
) -> IdealSolution:
    """Return the solution that :func:`solution_to_state` took apart.

    Parameters
    ----------
    config : mapping
        From :func:`solution_to_state`.
    tensors : mapping of arrays
        The arrays that came with it; others may be among them.

    Returns
    -------
    IdealSolution

    Raises
    ------
    ArtefactError
        If something is missing.
    """
    try:
        return _rebuild(config, tensors)
    except (KeyError, IndexError, TypeError) as error:
        raise ArtefactError(
            "The artefact passed to `solution_from_state` must hold a whole ideal solution, got "
            f"one without {error}. Save the steerer again with this version."
        ) from error


def _rebuild(config: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> IdealSolution:
    classes = [_from_plain(value) for value in config["classes"]]
    groups = [_from_plain(value) for value in config["groups"]]
    family = config["family"]
    parts = {k.removeprefix(SHAPE): v for k, v in tensors.items() if k.startswith(SHAPE)}
    shape = shape_from_arrays(family, parts)
    joints = [
        JointDistribution.from_arrays(
            tensors[f"{PREFIX}{name}/means"],
            tensors[f"{PREFIX}{name}/covariances"],
            tensors[f"{PREFIX}{name}/prior"],
            classes,
            groups,
            family,
            shape,
        )
        for name in ("source", "ideal")
    ]
    source, ideal = joints
    reference = config["reference"]
    kl = tensors[PREFIX + "kl_by_cell"]
    return IdealSolution(
        distribution=ideal,
        kl=config["kl"],
        kl_by_cell={
            (label, group): float(kl[y, a])
            for y, label in enumerate(classes)
            for a, group in enumerate(groups)
        },
        maps={group: _map(tensors, a) for a, group in enumerate(groups)},
        canonical={
            label: Normal(ideal.means[y, reference], ideal.covariances[y, reference])
            for y, label in enumerate(classes)
        },
        converged=config["converged"],
        global_optimum=config["global_optimum"],
        n_iter=config["n_iter"],
        history=tuple(tensors[PREFIX + "history"].tolist()),
        direction=config["direction"],
        priors=config["priors"],
        moves=tuple(groups[a] for a in config["moves"]),
        reference=groups[reference],
        source=source,
        protected=tuple(config.get("protected", ())),
    )


def _map(tensors: Mapping[str, NDArray[Any]], a: int) -> AffineMap:
    offset = tensors[f"{PREFIX}maps/{a}/offset"]
    if f"{PREFIX}maps/{a}/matrix" in tensors:
        return AffineMap(tensors[f"{PREFIX}maps/{a}/matrix"], offset)
    left, right = tensors[f"{PREFIX}maps/{a}/left"], tensors[f"{PREFIX}maps/{a}/right"]
    return AffineMap.low_rank(left, right, offset)


def _to_plain(name: Hashable) -> Any:
    plain = name.item() if isinstance(name, np.generic) else name
    if isinstance(plain, tuple):
        return {"tuple": [_to_plain(part) for part in plain]}
    if plain is None or isinstance(plain, str | bool | int | float):
        return plain
    raise InvalidInputError(
        "Labels and groups of a solution to be saved must be strings, numbers or booleans, got "
        f"{type(plain).__name__}. Convert them to strings before `fit`."
    )


def _from_plain(value: Any) -> Hashable:
    if isinstance(value, Mapping):
        parts: Sequence[Any] = value["tuple"]
        return tuple(_from_plain(part) for part in parts)
    name: Hashable = value
    return name
