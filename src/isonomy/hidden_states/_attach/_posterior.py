"""P(group | state) of an IdealSteerer's probe, evaluated where the states are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from isonomy.errors import InvalidInputError
from isonomy.steering._probe import GroupProbe, group_weights

__all__ = ["torch_posterior"]

Posterior = Callable[[torch.Tensor], torch.Tensor]


def torch_posterior(steerer: Any, *, where: str) -> Posterior:
    """Return the function from states (n, d) to the weights (n, n_groups) of the groups' maps.

    Parameters
    ----------
    steerer : IdealSteerer
        Fitted with ``groups="infer"``; its ``inference`` and ``gate_threshold`` act.
    where : str
        The public function that asks, for messages.

    Raises
    ------
    InvalidInputError
        If the steerer was saved without its probe.

    Notes
    -----
    The default probe (standardised logistic regression) runs in torch on the states'
    device: about ``2 d n_groups`` operations a row. Any other probe is asked through
    NumPy: the states go to the host and the weights come back, at every step.
    """
    probe: GroupProbe | None = steerer._probe
    if probe is None:
        raise InvalidInputError(
            f"`steerer` passed to `{where}` infers groups and was saved without its probe. "
            "Install skops, then save and load the fitted steerer again."
        )
    rule, threshold = steerer.inference, steerer.gate_threshold
    if is_default(probe.model):
        return _Linear(probe, rule, threshold)
    return _ThroughNumpy(probe, rule, threshold)


def is_default(model: Any) -> bool:
    """Whether a fitted probe is a pipeline of scaling and logistic regression, and nothing else."""
    if not isinstance(model, Pipeline) or len(model.steps) != 2:
        return False
    scaler, classifier = (step for _, step in model.steps)
    plain = type(scaler) is StandardScaler and type(classifier) is LogisticRegression
    return plain and scaler.mean_ is not None and scaler.scale_ is not None


class _ThroughNumpy:
    def __init__(self, probe: GroupProbe, rule: str, threshold: float) -> None:
        self._probe, self._rule, self._threshold = probe, rule, threshold

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        rows = states.detach().to("cpu", torch.float64).numpy()
        found = self._probe.posterior(rows, where="attached")
        weights = group_weights(found, self._rule, self._threshold)
        return torch.as_tensor(weights, dtype=states.dtype, device=states.device)


class _Linear:
    """The default probe; its arrays become tensors once for every device and dtype."""

    def __init__(self, probe: GroupProbe, rule: str, threshold: float) -> None:
        scaler, classifier = (step for _, step in probe.model.steps)
        self._rule, self._threshold = rule, threshold
        self._n_groups = len(probe.labels)
        self._columns = [int(c) for c in classifier.classes_]
        calibration = probe.calibration
        self._method = None if calibration is None else calibration.method
        curve: Mapping[str, NDArray[Any]] = {} if calibration is None else calibration.arrays
        self._arrays = {
            "mean": scaler.mean_,
            "scale": scaler.scale_,
            "coef": np.ascontiguousarray(classifier.coef_.T),
            "intercept": classifier.intercept_,
            **{f"curve_{name}": array for name, array in curve.items()},
        }
        self._tensors: dict[tuple[torch.device, torch.dtype], dict[str, torch.Tensor]] = {}

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        at = self._on(states.device, states.dtype)
        z = (states - at["mean"]) / at["scale"]
        decision = torch.addmm(at["intercept"], z, at["coef"])
        posterior = self._calibrated(decision, at)
        return _ruled(posterior, self._rule, self._threshold)

    def _on(self, device: torch.device, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        found = self._tensors.get((device, dtype))
        if found is None:
            found = {
                name: torch.as_tensor(array, dtype=dtype, device=device)
                for name, array in self._arrays.items()
            }
            self._tensors[device, dtype] = found
        return found

    def _calibrated(self, decision: torch.Tensor, at: dict[str, torch.Tensor]) -> torch.Tensor:
        two = decision.shape[1] == 1
        if self._method is None:
            p = torch.sigmoid(decision) if two else torch.softmax(decision, dim=1)
            return self._by_group(torch.cat([1 - p, p], dim=1) if two else p, None)
        scores = torch.cat([-decision, decision], dim=1) if two else decision
        scores = self._by_group(scores, scores.amin(dim=1, keepdim=True))
        if self._method == "temperature":
            return torch.softmax(at["curve_slope"] * scores, dim=1)
        if self._method == "sigmoid":
            return _normalised(torch.sigmoid(at["curve_slope"] * scores + at["curve_intercept"]))
        columns = [
            _interpolated(scores[:, k], at[f"curve_x{k}"], at[f"curve_y{k}"])
            for k in range(self._n_groups)
        ]
        return _normalised(torch.stack(columns, dim=1))

    def _by_group(self, found: torch.Tensor, absent: torch.Tensor | None) -> torch.Tensor:
        """Put the probe's columns where the groups are; a group it never saw is the unlikeliest."""
        if self._columns == list(range(self._n_groups)):
            return found
        place = {group: column for column, group in enumerate(self._columns)}
        nothing = torch.zeros_like(found[:, :1]) if absent is None else absent
        return torch.cat(
            [
                found[:, place[a] : place[a] + 1] if a in place else nothing
                for a in range(self._n_groups)
            ],
            dim=1,
        )


def _normalised(found: torch.Tensor) -> torch.Tensor:
    total = found.sum(dim=1, keepdim=True)
    # every curve may say 0
    return torch.where(total > 0, found / total.clamp(min=1e-30), 1.0 / found.shape[1])


def _interpolated(x: torch.Tensor, knots: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return the line through (knots, values) at ``x``, constant beyond its ends."""
    if len(knots) == 1:
        return values.expand(len(x))
    right = torch.searchsorted(knots, x.contiguous()).clamp(1, len(knots) - 1)
    left = right - 1
    width = (knots[right] - knots[left]).clamp(min=1e-30)
    share = ((x - knots[left]) / width).clamp(0.0, 1.0)
    return values[left] + share * (values[right] - values[left])


def _ruled(posterior: torch.Tensor, rule: str, threshold: float) -> torch.Tensor:
    """Return the weights of the maps, as ``steering._probe.group_weights`` does."""
    if rule == "soft":
        return posterior
    top = posterior.argmax(dim=1, keepdim=True)
    weights = torch.zeros_like(posterior).scatter(1, top, 1.0)
    if rule == "hard":
        return weights
    sure = posterior.amax(dim=1, keepdim=True) >= threshold
    return torch.where(sure, weights, posterior)
