"""FittedMethod: what every method leaves behind, whatever it does."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from isonomy._group_codes import match_groups
from isonomy._group_transformer import GroupAwareTransformer
from isonomy.distributions import AffineMap
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._method._head_shift import LinearHead, is_fitted, read_linear_head
from isonomy.hidden_states._method._inputs import fit_head_on, state_rows
from isonomy.steering import IdealSteerer
from isonomy.steering._move import move_rows
from isonomy.steering._probe_quality import ProbeQuality

__all__ = ["FittedMethod", "GroupUse", "WeightRule"]

GroupUse = Literal["none", "blind", "given", "inferred"]
WeightRule = Literal["none", "kamiran_calders"]


@dataclass(frozen=True, eq=False)
class FittedMethod:
    """A fitted method: how states move, how the head is weighted, what was known of groups.

    Attributes
    ----------
    name, label : str
        The name in ``METHODS``, and what a table shows.
    group_use : "none", "blind", "given" or "inferred"
        What a decision does with the row's group: nothing ("blind" used groups in
        fitting), needs it, or guesses it.
    steerer : AffineMap, dict, transformer, or None
        How hidden states move: what ``attached`` and ``fold`` take. One map, one map a
        group, a fitted isonomy transformer, or for ``calibrated_offsets_inferred`` a
        translation that depends on the row. None for methods that decide on scores and
        are no map of the state (`linear_post`, `linear_post_blind`).
    sample_weight_rule : "none" or "kamiran_calders"
        The weights on which a head over the moved states is to be fitted.
    head : classifier or None
        Fitted: what ``predict`` uses.
    decider : classifier or None
        For methods that decide on scores: takes states, gives decisions.
    groups : tuple
        Known from the fit; empty for "none".
    probe_quality : ProbeQuality or None
        Where groups are inferred: what held-out rows said of the probe.
    settings : dict
        What the caller set.
    own_head : bool
        Whether ``head`` is part of the method: offsets are calibrated on its scores, and a
        head fitted on the moved states would undo them.
    """

    name: str
    label: str
    group_use: GroupUse
    steerer: Any
    sample_weight_rule: WeightRule
    head: Any
    decider: Any
    groups: tuple[Hashable, ...]
    probe_quality: ProbeQuality | None
    settings: Mapping[str, Any]
    own_head: bool = False

    @property
    def probe_accuracy(self) -> float | None:
        """Share of held-out rows whose group the probe named rightly; None without one."""
        return None if self.probe_quality is None else self.probe_quality.accuracy

    @property
    def is_map(self) -> bool:
        """Whether the method is a map of the hidden state (else it decides on scores)."""
        return self.steerer is not None

    def transform(self, X: Any, *, sensitive_features: Any = None) -> Any:
        """Return the moved hidden states.

        Parameters
        ----------
        X : (n_samples, d) array or tensor
        sensitive_features : (n_samples,) or (n_samples, n_attributes), optional
            Groups; needed where ``group_use`` is "given", else not read.

        Returns
        -------
        (n_samples, d) array

        Raises
        ------
        InvalidInputError
            If the method is no map of the state.
        GroupsRequiredError
            If groups are needed and none were given.
        """
        where = "FittedMethod.transform"
        if self.steerer is None:
            raise InvalidInputError(
                f"`{where}` cannot move states by {self.name!r}: it post-processes the scores and "
                "is no map of the state. Call `predict`."
            )
        rows = state_rows(X, where=where)
        if isinstance(self.steerer, Mapping):
            return _move(self.steerer, rows, sensitive_features, where=where)
        if isinstance(self.steerer, GroupAwareTransformer):
            return self.steerer.transform(rows, sensitive_features=sensitive_features)
        return self.steerer.apply(rows)

    def predict(self, X: Any, *, sensitive_features: Any = None) -> NDArray[Any]:
        """Return decisions: of ``decider``, or of ``head`` over the moved states.

        Parameters
        ----------
        X : (n_samples, d) array or tensor
            States as the model makes them, not yet moved.
        sensitive_features : (n_samples,) or (n_samples, n_attributes), optional
            Groups; needed where ``group_use`` is "given".

        Returns
        -------
        (n_samples,) array of labels

        Raises
        ------
        InvalidInputError
            If there is no head.
        """
        where = "FittedMethod.predict"
        if self.decider is not None:
            given = sensitive_features if self.group_use == "given" else None
            rows = state_rows(X, where=where)
            decided: NDArray[Any] = self.decider.predict(rows, sensitive_features=given)
            return decided
        if self.head is None or not is_fitted(self.head):
            raise InvalidInputError(
                f"`{where}` needs a head, and {self.name!r} was fitted without one. Pass `head=` "
                "and rows to `fit_method`, or fit one with `fit_head`."
            )
        moved = self.transform(X, sensitive_features=sensitive_features)
        if hasattr(self.head, "predict"):
            picked: NDArray[Any] = self.head.predict(moved)
            return picked
        linear: LinearHead = read_linear_head(self.head, d=moved.shape[1], where=where)
        return linear.predict(moved)

    def fit_head(
        self,
        head: Any,
        X: Any,
        y: Any,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> Any:
        """Return a clone of ``head`` fitted on moved training states, weighted by the rule.

        Parameters
        ----------
        head : classifier
            From scikit-learn.
        X : (n_samples, d) array or tensor
            Training states, not yet moved.
        y : (n_samples,)
        sensitive_features : (n_samples,) or (n_samples, n_attributes), optional
            Groups; needed for the weights, and where ``group_use`` is "given". Where groups
            are inferred, training rows move by their true group (see
            ``IdealSteerer.training_rows``).
        sample_weight : (n_samples,), optional

        Returns
        -------
        fitted classifier

        Raises
        ------
        InvalidInputError
            If the method has a head of its own (``own_head``) or decides on scores.
        """
        if self.own_head or self.decider is not None:
            raise InvalidInputError(
                f"`FittedMethod.fit_head` cannot fit another head for {self.name!r}: the one it "
                "was calibrated on is part of it. Use `.head`, or pass `head=` to `fit_method`."
            )
        moved = self.training_rows(X, sensitive_features=sensitive_features)
        return fit_head_on(
            head,
            moved,
            y,
            groups=sensitive_features,
            weight=sample_weight,
            rule=self.sample_weight_rule,
            where="FittedMethod.fit_head",
        )

    def training_rows(self, X: Any, *, sensitive_features: Any = None) -> Any:
        """Return training states as a head should see them.

        Parameters
        ----------
        X : (n_samples, d) array or tensor
            The rows of the fit.
        sensitive_features : (n_samples,) or (n_samples, n_attributes), optional

        Returns
        -------
        (n_samples, d) array
            Those of ``transform``, except where groups are inferred: there what
            ``IdealSteerer.training_rows`` says.
        """
        steerer = self.steerer
        if not isinstance(steerer, IdealSteerer) or steerer.groups != "infer":
            return self.transform(X, sensitive_features=sensitive_features)
        where = "FittedMethod.training_rows"
        check_is_fitted(steerer)
        rows = state_rows(X, where=where)
        posterior = steerer.group_posterior_
        if steerer.training_rows == "given" and len(steerer.groups_) > 1:
            codes = steerer._codes(sensitive_features, len(rows), where=where)
            return move_rows(steerer, rows, codes, where=where)
        if steerer.training_rows == "cross_fitted" and posterior is not None:
            return steerer.transform_by_posterior(rows, posterior)
        return steerer.transform(rows)

    def steering_maps(self) -> Any:
        """Return the steerer: so ``attached`` and ``fold`` take the method itself.

        Raises
        ------
        InvalidInputError
            If the method is no map of the state.
        """
        if self.steerer is None:
            raise InvalidInputError(
                f"{self.name!r} post-processes scores and is no map of the hidden state: it cannot "
                "be attached to a model or folded into it. Take another method, for instance "
                "'calibrated_offsets'."
            )
        return self.steerer

    def to_dict(self) -> dict[str, Any]:
        """Return what a record of the method needs, as plain values."""
        quality = self.probe_quality
        return {
            "name": self.name,
            "label": self.label,
            "group_use": self.group_use,
            "is_map": self.is_map,
            "sample_weight_rule": self.sample_weight_rule,
            "groups": [str(g) for g in self.groups],
            "probe_quality": None if quality is None else quality.to_dict(),
            "settings": {k: str(v) for k, v in self.settings.items()},
        }


def _move(
    maps: Mapping[Hashable, AffineMap], rows: NDArray[Any], groups: Any, *, where: str
) -> NDArray[Any]:
    """Move every row by the map of its own group."""
    labels = list(maps)
    codes = match_groups(
        groups,
        labels,
        n_samples=len(rows),
        missing_groups="raise",
        unknown_group="error",
        where=where,
    )
    moved = np.array(rows)
    for code, label in enumerate(labels):
        own = codes == code
        if own.any() and not maps[label].is_identity:
            moved[own] = maps[label].apply(rows[own])
    return moved
