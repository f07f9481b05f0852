"""A linear head whose input is steered: scores from hidden states, blind, given or inferred.

All modes are one formula. With head weights W (K, d) and c (K,), a map x -> M_a x + t_a and
class offsets b_a for every group a::

    scores(x, a) = W (M_a x + t_a) + c + b_a

"blind" has one map and no offsets, so that the group does not enter; "infer" weights the maps
by a probe's posterior of the group, and the offsets by P(group | x, class).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from isonomy._group_codes import match_groups
from isonomy.distributions import AffineMap
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._method._head_shift import read_linear_head, shift_of_scores
from isonomy.steering import IdealSteerer, SteeredClassifier
from isonomy.steering._limits import check_maps_alone

__all__ = ["GroupGuess", "Mode", "SteeredHead", "from_tensors", "head_of", "to_tensors"]

Floats = NDArray[np.float64]
Mode = Literal["blind", "given", "infer"]


@dataclass(frozen=True)
class GroupGuess:
    """P(group | x, class): a logistic regression of standardised columns and the class.

    ``mean``, ``scale`` (d,); ``weight`` (1 or G, d), ``by_class`` (1 or G, K) and
    ``intercept`` (1 or G,): with one row it speaks of the second of two groups.
    """

    mean: Floats
    scale: Floats
    weight: Floats
    by_class: Floats
    intercept: Floats

    def posterior(self, X: Floats) -> Floats:
        """Return probabilities ``(n, K, G)``."""
        score = ((X - self.mean) / self.scale) @ self.weight.T + self.intercept
        asked = score[:, None, :] + self.by_class.T[None, :, :]
        if asked.shape[2] == 1:
            second = expit(asked[:, :, 0])
            return np.stack([1.0 - second, second], axis=2)
        return np.asarray(softmax(asked, axis=2))


@dataclass(frozen=True)
class SteeredHead:
    """The head with its maps and offsets, in float64.

    ``maps`` holds one map ("blind") or one a group; ``offsets`` is ``(G, K)`` or None.
    ``steerer`` is there where groups are inferred and rows move.
    """

    mode: Mode
    classes: tuple[Any, ...]
    groups: tuple[str, ...]
    weight: Floats
    intercept: Floats
    maps: tuple[AffineMap, ...]
    offsets: Floats | None = None
    guess: GroupGuess | None = None
    steerer: IdealSteerer | None = None

    @property
    def hidden_size(self) -> int:
        """Columns of the hidden states that the head reads."""
        return int(self.weight.shape[1])

    def scores(self, X: Any, *, sensitive_features: Any = None, where: str) -> Floats:
        """Return class scores ``(n, K)`` of hidden states ``(n, d)``.

        Raises
        ------
        GroupsRequiredError
            If the mode is "given" and no groups were passed.
        UnknownGroupError
            If a group was not there when the head was fitted.
        """
        rows = np.asarray(X, dtype=np.float64)
        if self.mode == "infer":
            return self._inferred(rows)
        if self.mode == "blind":
            return self._linear(self.maps[0].apply(rows))
        codes = match_groups(
            sensitive_features,
            self.groups,
            n_samples=len(rows),
            missing_groups="own_group",
            unknown_group="error",
            where=where,
        )
        found = np.empty((len(rows), len(self.classes)))
        for a, one in enumerate(self.maps):
            mine = codes == a
            found[mine] = self._linear(one.apply(rows[mine]))
        return found if self.offsets is None else found + self.offsets[codes]

    def unsteered_scores(self, X: Any) -> Floats:
        """Return the head's scores of rows as they come: without maps and offsets."""
        return self._linear(np.asarray(X, dtype=np.float64))

    def effective_maps(self, *, absorb_intercept: bool) -> tuple[AffineMap, ...]:
        """Return maps after which the bare head decides: offsets are translations.

        A translation t with W t = b_a (- mean b_a, which moves all scores alike) is the
        shortest one; with ``absorb_intercept`` the head's own c is in it too.

        Raises
        ------
        InvalidInputError
            If groups are inferred, or W has too small a rank for such a translation.
        """
        if self.mode == "infer":
            raise InvalidInputError(
                "An inferred group's map depends on the row beyond an affine map, so it has no "
                'matrix of its own. Use mode "blind" or "given" for maps that can be exported.'
            )
        shifts = np.zeros((len(self.maps), len(self.classes)))
        if self.offsets is not None:
            shifts = shifts + self.offsets
        if absorb_intercept:
            shifts = shifts + self.intercept
        if not shifts.any():
            return self.maps
        moves = shift_of_scores(self.weight, shifts, where="SteeredHead.effective_maps")
        return tuple(_moved(one, t) for one, t in zip(self.maps, moves, strict=True))

    def folded(self) -> list[tuple[Floats, Floats]]:
        """Return (weight, intercept) of the plain head of every map: scores = X W' + c.

        Raises
        ------
        InvalidInputError
            If groups are inferred.
        """
        maps = self.effective_maps(absorb_intercept=False)
        return [
            (self.weight @ one.matrix, self.weight @ one.offset + self.intercept) for one in maps
        ]

    def _linear(self, rows: Floats) -> Floats:
        return np.asarray(rows @ self.weight.T + self.intercept)

    def _inferred(self, rows: Floats) -> Floats:
        moved = rows if self.steerer is None else np.asarray(self.steerer.transform(rows))
        found = self._linear(moved)
        if self.offsets is None or self.guess is None:
            return found
        shift = np.einsum("nka,ak->nk", self.guess.posterior(rows), self.offsets)
        return np.asarray(found + shift)


def _moved(one: AffineMap, translation: Floats) -> AffineMap:
    if one.factors is not None:
        return AffineMap.low_rank(*one.factors, one.offset + translation)
    return AffineMap(one.matrix, one.offset + translation)


def head_of(model: SteeredClassifier) -> SteeredHead:
    """Return the formula of a fitted classifier of this project.

    Parameters
    ----------
    model : SteeredClassifier
        Around a linear classifier, bare or behind affine steps; its steerer is an
        `IdealSteerer` or none.

    Raises
    ------
    InvalidInputError
        If the estimator, the steerer or the group model is another, or the calibrator takes
        base rates out by a guessed group.
    """
    d = int(model.n_features_in_)
    linear = read_linear_head(model.estimator_, d=d, classes=model.classes_, where="head_of")
    steerer: Any = model.steerer_
    if steerer is not None and not isinstance(steerer, IdealSteerer):
        raise InvalidInputError(
            "`model` passed to `head_of` must have an `IdealSteerer` or no steerer, got "
            f"{type(steerer).__name__}."
        )
    if steerer is not None:
        if steerer.family_ != "normal":
            raise InvalidInputError(
                "`model` passed to `head_of` must have a steerer that moves the states "
                f"themselves, got one with family={steerer.family_!r}, whose affine maps act on "
                'logarithms or transforms of them. Fit it with `family="normal"`.'
            )
        check_maps_alone(steerer, argument="model", where="head_of")
    groups = tuple(str(g) for g in model.groups_)
    calibrator = model.calibrator_
    stage = model.last_stage_
    guesses = stage is not None and stage.group_model is not None
    if guesses:
        _check_guessing(model, calibrator, stage)
    mode: Mode = "blind"
    if model.uses_groups_at_prediction():
        mode = "given"
    elif guesses or (steerer is not None and steerer.groups == "infer"):
        mode = "infer"
    maps = tuple(
        AffineMap.identity(d) if steerer is None else steerer.maps_[g] for g in model.groups_
    )
    return SteeredHead(
        mode=mode,
        classes=tuple(np.asarray(model.classes_).tolist()),
        groups=groups,
        weight=linear.weight,
        intercept=linear.bias,
        maps=maps[:1] if mode == "blind" else maps,
        offsets=None if calibrator is None else np.asarray(calibrator.offsets_, dtype=np.float64),
        guess=_guess_of(stage.group_model, len(linear.weight)) if guesses and stage else None,
        steerer=steerer if mode == "infer" else None,
    )


def _check_guessing(model: SteeredClassifier, calibrator: Any, stage: Any) -> None:
    """Raise where the formula lacks something that the classifier does with its guess."""
    reason = ""
    if calibrator.log_lift_ is not None and calibrator.base_rate_shift_:
        reason = "`base_rate_shift` with guessed groups adds a logarithm of a mean to the scores"
    elif model.uses_groups_at_prediction():
        reason = "its calibrator guesses the group that its steerer is given"
    elif not _is_logistic_probe(stage.group_model):
        reason = "its `group_model` is no logistic regression of the columns"
    if reason:
        raise InvalidInputError(
            f"`model` passed to `head_of` must be a head with maps and offsets, and {reason}, "
            "which that formula does not hold. Fit it without, or predict with the classifier."
        )


def _is_logistic_probe(group_model: Any) -> bool:
    return hasattr(group_model, "scaler") and isinstance(group_model.model, LogisticRegression)


def _guess_of(model: Any, n_classes: int) -> GroupGuess:
    """Return the default group model of a `SteeredClassifier` as arrays."""
    from isonomy.steering._group_model import CLASS_SCALE

    probe, scaler = model.model, model.scaler
    coef = np.asarray(probe.coef_, dtype=np.float64)
    return GroupGuess(
        mean=np.asarray(scaler.mean_, dtype=np.float64),
        scale=np.asarray(scaler.scale_, dtype=np.float64),
        weight=coef[:, :-n_classes],
        by_class=CLASS_SCALE * coef[:, -n_classes:],
        intercept=np.asarray(probe.intercept_, dtype=np.float64),
    )


def to_tensors(head: SteeredHead) -> dict[str, NDArray[Any]]:
    """Return the arrays of a head by name, as an artefact stores them."""
    tensors: dict[str, NDArray[Any]] = {
        "head/weight": head.weight,
        "head/intercept": head.intercept,
    }
    for a, one in enumerate(head.maps):
        tensors[f"map/{a}/offset"] = one.offset
        if one.factors is None:
            tensors[f"map/{a}/matrix"] = one.matrix
        else:
            tensors[f"map/{a}/left"], tensors[f"map/{a}/right"] = one.factors
    if head.offsets is not None:
        tensors["offsets"] = head.offsets
    if head.guess is not None:
        tensors |= {f"guess/{n}": getattr(head.guess, n) for n in _GUESS}
    return tensors


_GUESS = ("mean", "scale", "weight", "by_class", "intercept")


def from_tensors(
    tensors: Mapping[str, NDArray[Any]], config: Mapping[str, Any], steerer: IdealSteerer | None
) -> SteeredHead:
    """Return the head that `to_tensors` wrote; a missing array is a ``KeyError``."""
    n_maps = 1 if config["mode"] == "blind" else len(config["groups"])
    guess = None
    if "guess/mean" in tensors:
        guess = GroupGuess(**{n: tensors[f"guess/{n}"] for n in _GUESS})
    return SteeredHead(
        mode=config["mode"],
        classes=tuple(config["classes"]),
        groups=tuple(config["groups"]),
        weight=tensors["head/weight"],
        intercept=tensors["head/intercept"],
        maps=tuple(_map(tensors, a) for a in range(n_maps)),
        offsets=tensors.get("offsets"),
        guess=guess,
        steerer=steerer,
    )


def _map(tensors: Mapping[str, NDArray[Any]], a: int) -> AffineMap:
    offset = tensors[f"map/{a}/offset"]
    if f"map/{a}/matrix" in tensors:
        return AffineMap(tensors[f"map/{a}/matrix"], offset)
    return AffineMap.low_rank(tensors[f"map/{a}/left"], tensors[f"map/{a}/right"], offset)
