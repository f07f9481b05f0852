"""``fit_method``: every method by name, fitted on moments or on rows, with one result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import ArrayLike

from isonomy._validation import check_choice
from isonomy.baselines import (
    INLP,
    LEACE,
    DifferenceOfMeans,
    LinearPost,
    MeanMatching,
    MiMiC,
    OracleLEACE,
    QuadraticLEACE,
)
from isonomy.distributions import AffineMap, CellMoments
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._method._fitted import FittedMethod, GroupUse, WeightRule
from isonomy.hidden_states._method._head_shift import is_fitted
from isonomy.hidden_states._method._inputs import WHERE, MethodInputs, default_head
from isonomy.hidden_states._method._offsets import OWN_SETTINGS, fit_offsets
from isonomy.steering import GapCalibrator, IdealSteerer
from isonomy.steering._from_moments import of_kind, solve_from_moments

__all__ = ["METHODS", "FittedMethod", "fit_method"]


def fit_method(
    name: str,
    *,
    moments: CellMoments | None = None,
    X: Any = None,
    y: Any = None,
    sensitive_features: Any = None,
    sample_weight: ArrayLike | None = None,
    head: Any = None,
    random_state: Any = None,
    **settings: Any,
) -> FittedMethod:
    """Fit one method of ``METHODS`` on the hidden states of one layer.

    Parameters
    ----------
    name : str
        One of ``METHODS``; see Notes.
    moments : CellMoments, optional
        Of one layer, as ``collect`` returns them.
    X : (n_samples, d) array or tensor, optional
        Hidden states as rows. With ``moments`` beside them, moments give the maps, and
        rows only what moments cannot: the rank of `ideal_blind`, the probe of
        `ideal_inferred`, and all of the methods that need rows.
    y : (n_samples,), optional
        Labels of the rows.
    sensitive_features : (n_samples,) or (n_samples, n_attributes), optional
        Groups of the rows.
    sample_weight : (n_samples,), optional
    head : classifier, torch Linear, (weight, bias) or (weight, bias, classes), optional
        What reads the states; where it names no classes its rows follow the sorted labels.
        A fitted one, or a model's own, is left as it is; an
        unfitted scikit-learn classifier is cloned and fitted on the moved rows under the
        method's rule of weights. Offsets and LinearPost need one and take a standardised
        logistic regression by default; their scores come from clones that had not seen the
        row, or from a model's own head as it is (pass rows it was not trained on).
    random_state : int, RandomState or None
        Of folds and of searches from random starts.
    **settings
        Passed on to the method's own class: `IdealSteerer`, `LEACE`, ..., to
        `GapCalibrator` (and ``cv``, ``group_model``) for offsets, to `LinearPost`.

    Returns
    -------
    FittedMethod

    Raises
    ------
    InvalidInputError
        If the name or a setting is unknown, there is neither moments nor rows, or the
        method needs rows and got moments alone.

    Notes
    -----
    On moments or rows: `none`; `ideal_affirmative` (all groups move to the law of
    ``reference``, by default the largest, which stays); `ideal_all`; `ideal_blind` (one
    map for everybody; on moments set ``rank``); `leace`, `leace_oracle`,
    `leace_quadratic`, `mimic`, `mean_matching`, `difference_of_means`; `reweighing` (the
    states stay, the head is fitted on Kamiran-Calders weights).

    On rows alone: `ideal_inferred` and `inlp` (they fit probes); `calibrated_offsets` and
    `calibrated_offsets_inferred`; `linear_post` and `linear_post_blind`.

    Calibrated offsets o_a of the class scores W x + b are translations of the state that
    the head reads: with H = I - 11'/K, ``s_a = (H W)^+ H o_a`` gives
    ``H W s_a = H o_a``, exactly where H W has rank K - 1; else an error tells how much is
    missed. Where the group is guessed, row x moves by ``sum_k l_k(x) p_k`` with p_k the
    columns of ``(H W)^+ H`` and ``l_k(x) = sum_a P(a | x, k) o_ak`` (and the guessed part
    of ``base_rate_shift``): a function of the row, not affine, so it can be attached and
    not folded. Either holds at the head's own input only.

    LinearPost decides by priced costs of posterior probabilities: post-processing of
    scores, not a map of the state. Its ``steerer`` is None and ``predict`` decides.

    What it does not promise: that any of these makes decisions of another layer's or
    another head's equal; audit the result on rows that no part was fitted on.

    Examples
    --------
    >>> from isonomy.datasets import make_biased_normals
    >>> X, y, group, _ = make_biased_normals(2000, random_state=0)
    >>> moments = CellMoments(4).update(X, y, sensitive_features=group)
    >>> fitted = fit_method("mean_matching", moments=moments)
    >>> fitted.group_use, fitted.transform(X, sensitive_features=group).shape
    ('given', (2000, 4))
    """
    check_choice("name", name, METHODS, where=WHERE)
    inputs = MethodInputs.of(
        name, moments, X, y, sensitive_features, sample_weight, head, random_state, settings
    )
    spec = _SPECS[name]
    return replace(spec.build(spec, inputs), settings=dict(settings))


@dataclass(frozen=True)
class _Spec:
    """One method: its words, its rule of weights, and the function that fits it."""

    name: str
    label: str
    group_use: GroupUse
    rule: WeightRule
    build: Callable[[_Spec, MethodInputs], FittedMethod]
    make: Any = None

    def fitted(self, steerer: Any, head: Any, groups: Any, **more: Any) -> FittedMethod:
        """Return the result, with what this method says of itself."""
        given = {"decider": None, "probe_quality": None, "settings": {}} | more
        return FittedMethod(
            name=self.name,
            label=self.label,
            group_use=self.group_use,
            steerer=steerer,
            sample_weight_rule=self.rule,
            head=head,
            groups=tuple(groups),
            **given,
        )


def _untouched(spec: _Spec, inputs: MethodInputs) -> FittedMethod:
    inputs.refuse_settings()
    steerer = AffineMap.identity(inputs.d)
    if spec.rule == "none":
        return spec.fitted(steerer, inputs.fitted_head(inputs.X, spec.rule), ())
    groups = inputs.group_sizes()
    if inputs.head is not None and (inputs.X is None or is_fitted(inputs.head)):
        raise InvalidInputError(
            f"`head` passed to `{WHERE}` for {spec.name!r} must be an unfitted classifier, with "
            "rows to fit it on: the method is how the head is fitted. Pass `head=clone(head)` "
            "and rows, or no head."
        )
    return spec.fitted(steerer, inputs.fitted_head(inputs.X, spec.rule), groups)


def _steered(spec: _Spec, inputs: MethodInputs) -> FittedMethod:
    estimator = _new(spec.make, inputs)
    _fit_steerer(estimator, inputs)
    found = spec.fitted(estimator, inputs.named_head(), estimator.groups_)
    if isinstance(estimator, IdealSteerer):
        found = replace(found, probe_quality=estimator.probe_quality_)
    if inputs.head is None or inputs.X is None or is_fitted(inputs.head):
        return found
    moved = found.training_rows(inputs.X, sensitive_features=inputs.groups)
    return replace(found, head=inputs.fitted_head(moved, spec.rule))


def _new(make: Callable[..., Any], inputs: MethodInputs) -> Any:
    """Return the unfitted transformer with the caller's settings."""
    known = make().get_params(deep=False)
    inputs.refuse_settings(tuple(k for k in known if k not in _NOT_HERE))
    settings = dict(inputs.settings)
    if "random_state" in known:
        settings["random_state"] = inputs.random_state
    return make(**settings)


_NOT_HERE = ("groups", "group_columns", "random_state", "estimator")
"""Parameters that the method's name, or ``fit_method`` itself, decides."""


def _fit_steerer(steerer: Any, inputs: MethodInputs) -> None:
    rows = {"sensitive_features": inputs.groups, "sample_weight": inputs.weight}
    needs_rows = _needs_rows(steerer)
    if needs_rows:
        inputs.rows(needs_rows)
    if inputs.moments is None or needs_rows:
        steerer.fit(inputs.X, inputs.y, **rows)
    else:
        steerer.fit_moments(inputs.moments)
    if inputs.moments is not None and needs_rows and isinstance(steerer, IdealSteerer):
        kind = "tied" if steerer.groups == "blind" else steerer.covariance
        solve_from_moments(steerer, of_kind(inputs.moments, kind, where=WHERE))


def _needs_rows(steerer: Any) -> str:
    """Return why this transformer cannot be fitted on moments; "" where it can."""
    if isinstance(steerer, IdealSteerer):
        if steerer.groups == "infer":
            return "its probe of the group learns from rows"
        if steerer.groups == "blind" and steerer.rank == "auto":
            return (
                'its `rank="auto"` is chosen on held-out rows (or set `rank` to a number, 4 is a '
                "fair first one)"
            )
        return ""
    return "" if hasattr(steerer, "fit_moments") else "its probes learn from rows"


def _affirmative(spec: _Spec, inputs: MethodInputs) -> FittedMethod:
    settings = dict(inputs.settings)
    sizes = inputs.group_sizes()
    reference = settings.setdefault("reference", max(sizes, key=lambda g: sizes[g]))
    if reference is None:
        reference = settings["reference"] = max(sizes, key=lambda g: sizes[g])
    if reference not in sizes:
        raise InvalidInputError(
            f"`reference` passed to `{WHERE}` for {spec.name!r} must be one of the groups "
            f"({', '.join(map(str, sizes))}), got {reference!r}."
        )
    settings.setdefault("moves", [g for g in sizes if g != reference])
    return _steered(spec, replace(inputs, settings=settings))


def _offsets(spec: _Spec, inputs: MethodInputs) -> FittedMethod:
    known = [*OWN_SETTINGS, *GapCalibrator().get_params()]
    decided = ("groups", "classes", "score_kind", "missing_groups", "unknown_group")
    infer = spec.group_use == "inferred"
    hidden = decided if infer else (*decided, "group_model")
    inputs.refuse_settings(tuple(k for k in known if k not in hidden))
    found = fit_offsets(inputs, infer=infer)
    return spec.fitted(
        found.steerer,
        found.head,
        found.groups,
        probe_quality=found.probe_quality,
        own_head=True,
    )


def _linear_post(spec: _Spec, inputs: MethodInputs) -> FittedMethod:
    X = inputs.rows("its linear programme is solved on held-out probabilities of rows")
    head = default_head() if inputs.head is None else inputs.head
    if not hasattr(head, "fit"):
        raise InvalidInputError(
            f"`head` passed to `{WHERE}` for {spec.name!r} must be a scikit-learn classifier, "
            f"which it fits again in folds, got {type(head).__name__}. Pass none for the default."
        )
    known = LinearPost(head).get_params(deep=False)
    inputs.refuse_settings(tuple(k for k in known if k not in _NOT_HERE))
    given = spec.group_use == "given"
    # p(k | x, a) from the cell: without the group its rates are misjudged
    settings = ({"cell_estimator": head} if given else {}) | dict(inputs.settings)
    decider = LinearPost(
        head,
        groups="given" if given else "blind",
        random_state=inputs.random_state,
        **settings,
    )
    decider.fit(X, inputs.y, sensitive_features=inputs.groups, sample_weight=inputs.weight)
    return spec.fitted(None, decider.estimator_, decider.groups_, decider=decider)


def _ideal(groups: Any) -> Callable[..., IdealSteerer]:
    def make(**settings: Any) -> IdealSteerer:
        return IdealSteerer(groups=groups, **settings)

    return make


_KC: WeightRule = "kamiran_calders"

_SPECS: dict[str, _Spec] = {
    spec.name: spec
    for spec in (
        _Spec("none", "Untouched", "none", "none", _untouched),
        _Spec(
            "ideal_affirmative",
            "Nearest ideal, smaller groups move",
            "given",
            _KC,
            _affirmative,
            _ideal("given"),
        ),
        _Spec(
            "ideal_all", "Nearest ideal, all groups move", "given", _KC, _steered, _ideal("given")
        ),
        _Spec(
            "ideal_blind",
            "Class-conditional erasure, blind",
            "blind",
            _KC,
            _steered,
            _ideal("blind"),
        ),
        _Spec(
            "ideal_inferred",
            "Nearest ideal, groups inferred",
            "inferred",
            _KC,
            _steered,
            _ideal("infer"),
        ),
        _Spec("calibrated_offsets", "Calibrated offsets", "given", "none", _offsets),
        _Spec(
            "calibrated_offsets_inferred",
            "Calibrated offsets, groups inferred",
            "inferred",
            "none",
            _offsets,
        ),
        _Spec("leace", "LEACE", "blind", "none", _steered, LEACE),
        _Spec("leace_oracle", "LEACE, group given", "given", "none", _steered, OracleLEACE),
        _Spec("leace_quadratic", "Quadratic LEACE", "given", "none", _steered, QuadraticLEACE),
        _Spec("mimic", "MiMiC", "given", "none", _steered, MiMiC),
        _Spec("mean_matching", "Mean matching", "given", "none", _steered, MeanMatching),
        _Spec("inlp", "INLP", "blind", "none", _steered, INLP),
        _Spec(
            "difference_of_means",
            "Difference of means",
            "blind",
            "none",
            _steered,
            DifferenceOfMeans,
        ),
        _Spec("reweighing", "Reweighing", "blind", _KC, _untouched),
        _Spec("linear_post", "LinearPost, group given", "given", "none", _linear_post),
        _Spec("linear_post_blind", "LinearPost, blind", "blind", "none", _linear_post),
    )
}

METHODS: tuple[str, ...] = tuple(_SPECS)
"""The names that ``fit_method`` knows."""
