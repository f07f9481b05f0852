"""What a steerer knows of groups that nobody tells it: posterior, quality, training rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from isonomy._group_transformer import GroupAwareTransformer
from isonomy.errors import InvalidInputError
from isonomy.steering._counted import CountedRows
from isonomy.steering._move import move_by_weights, move_rows, posterior_of
from isonomy.steering._probe import (
    FittedProbe,
    GroupProbe,
    check_posterior,
    fit_probe,
    group_weights,
)
from isonomy.steering._probe_quality import ProbeQuality

__all__ = ["InfersGroups"]

Floats = NDArray[np.float64]


class InfersGroups(GroupAwareTransformer):
    """The part of ``IdealSteerer`` that speaks of ``groups="infer"``."""

    groups: str
    inference: str
    gate_threshold: float
    training_rows: str
    probe: Any
    probe_calibration: str | None
    n_jobs: int | None
    _probe: GroupProbe | None
    _probe_quality: ProbeQuality | None
    _held_out: Floats | None

    @property
    def probe_(self) -> Any:
        """The scikit-learn probe fitted on all training rows, uncalibrated; or None."""
        check_is_fitted(self)
        return None if self._probe is None else self._probe.model

    @property
    def probe_quality_(self) -> ProbeQuality | None:
        """How well the probe knew the groups of held-out training rows; or None."""
        check_is_fitted(self)
        return self._probe_quality

    @property
    def group_posterior_(self) -> Floats | None:
        """P(group | row) of the training rows, by probes that had not seen them.

        ``(n_samples, n_groups)``, calibrated, columns as ``groups_``; rows of weight 0 by
        the final probe. None without a probe and for a loaded steerer.
        """
        check_is_fitted(self)
        return self._held_out

    def group_posterior(self, X: Any) -> Floats:
        """Return P(group | row) as ``transform`` uses it, columns as ``groups_``.

        Parameters
        ----------
        X : (n_samples, n_features)

        Returns
        -------
        (n_samples, n_groups)
            Calibrated as ``probe_calibration`` says, before ``inference`` acts on it.

        Raises
        ------
        InvalidInputError
            If the steerer has no probe.
        """
        where = "IdealSteerer.group_posterior"
        check_is_fitted(self)
        if self.groups != "infer":
            raise InvalidInputError(
                f'`{where}` needs a probe, and only `groups="infer"` fits one; got '
                f"groups={self.groups!r}."
            )
        rest, _ = self._split(X, None, where=where, fitting=False)
        values = self._read(X, rest, where=where, reset=False).values
        if len(self.groups_) == 1:
            return np.ones((len(values), 1))
        return posterior_of(self, values, where=where)

    def transform_by_posterior(self, X: Any, posterior: ArrayLike) -> Any:
        """Steer rows by a posterior of the group that comes from elsewhere.

        Parameters
        ----------
        X : (n_samples, n_features)
        posterior : (n_samples, n_groups)
            P(group | row), columns as ``groups_``, each row summing to 1; for instance
            from a proxy that this data set does not hold. ``inference`` and
            ``gate_threshold`` act on it as on the probe's.

        Returns
        -------
        (n_samples, n_features)
            In the caller's own kind and dtype.

        Raises
        ------
        InvalidInputError
            If the posterior has another shape, or rows that are no probabilities.
        """
        where = "IdealSteerer.transform_by_posterior"
        check_is_fitted(self)
        rest, _ = self._split(X, None, where=where, fitting=False)
        table = self._read(X, rest, where=where, reset=False)
        given = check_posterior(posterior, (len(table.values), len(self.groups_)), where=where)
        weights = group_weights(given, self.inference, self.gate_threshold)
        return table.rebuild(move_by_weights(self, table.values, weights, where=where))

    def fit_transform(
        self,
        X: Any,
        y: Any = None,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> Any:
        """Fit, and return the training rows as the next step should learn from them.

        Parameters
        ----------
        X, y, sensitive_features, sample_weight
            As in ``fit``.

        Returns
        -------
        (n_samples, n_features)
            In the caller's own kind and dtype. For ``groups="infer"`` the rows that
            ``training_rows`` names, which differ from those of ``transform`` (as in
            scikit-learn's ``TargetEncoder``) unless that is "inferred".
        """
        self.fit(X, y, sensitive_features=sensitive_features, sample_weight=sample_weight)
        if self.groups != "infer" or self._probe is None or self.training_rows == "inferred":
            return self.transform(X, sensitive_features=sensitive_features)
        where = "IdealSteerer.fit_transform"
        rest, found = self._split(X, sensitive_features, where=where, fitting=True)
        table = self._read(X, rest, where=where, reset=False)
        if self.training_rows == "given":
            codes = self._codes(found, len(table.values), where=where)
            return table.rebuild(move_rows(self, table.values, codes, where=where))
        assert self._held_out is not None  # set by `fit`
        weights = group_weights(self._held_out, self.inference, self.gate_threshold)
        return table.rebuild(move_by_weights(self, table.values, weights, where=where))

    def _forget_probe(self) -> None:
        self._probe = self._probe_quality = self._held_out = None

    def _fit_probe(self, rows: CountedRows, work: NDArray[Any], weight: Floats | None) -> None:
        """Fit on the counted ``rows``; ``work`` and ``weight`` are those of all rows."""
        where = "IdealSteerer.fit"
        found: FittedProbe = fit_probe(
            self.probe, rows, calibration=self.probe_calibration, n_jobs=self.n_jobs, where=where
        )
        self._probe, self._probe_quality = found.probe, found.quality
        self._held_out = found.held_out
        if len(work) > len(found.held_out) and weight is not None:
            self._held_out = found.probe.posterior(work, where=where)
            self._held_out[weight > 0] = found.held_out
