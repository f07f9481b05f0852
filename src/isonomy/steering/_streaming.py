"""Training rows in chunks: moments add up, and maps are solved when first needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isonomy.steering._feasibility import FeasibilityReport
from isonomy.steering._from_moments import FitsMoments
from isonomy.steering._limits import known_limits
from isonomy.steering._settings import check_not_loaded, check_settings, check_streaming
from isonomy.steering._working_scale import known_scale

__all__ = ["Streams"]


class Streams(FitsMoments):
    """The part of ``IdealSteerer`` that learns from one chunk of rows after another."""

    classes_: list[Any]
    groups_: list[Any]
    steered_columns_: list[Any]
    rank_: int | None
    sample_weight_: NDArray[np.float64] | None
    feasibility_: FeasibilityReport | None

    def partial_fit(
        self,
        X: Any,
        y: Any,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
        classes: Sequence[Any] | None = None,
        groups: Sequence[Any] | None = None,
    ) -> Self:
        """Add a chunk of training rows; the maps are solved when first needed.

        Parameters
        ----------
        X, y, sensitive_features, sample_weight
            As in ``fit``, for this chunk alone.
        classes, groups : sequence, optional
            All labels and groups to come. Given at the first call, a chunk with
            another one raises; at later calls they must be the same.

        Raises
        ------
        InvalidInputError
            If the mode needs all rows at once: "infer", "blind" with ``rank="auto"``, a
            family, bounds or columns of whole numbers that are learnt from rows.
        """
        where = "IdealSteerer.partial_fit"
        check_settings(self, where=where)
        check_not_loaded(self, where=where)
        first = not hasattr(self, "moments_")
        table, labels, found, weight = self._read_training(
            X, y, sensitive_features, sample_weight, where=where, reset=first, min_groups=1
        )
        check_streaming(self, len(found.labels), classes, groups, where=where)
        scale, limits = known_scale(self.family, where=where), known_limits(self, where=where)
        work = scale.ahead(table.values, self.steered_columns_, where=where)
        if first:
            self._start(work.shape[1], classes, groups, scale)
        self._limits, self.feasibility_ = limits, None  # what is reported is not of these rows
        self.moments_.update(work, labels, sensitive_features=found.values, sample_weight=weight)
        self.classes_, self.groups_ = list(self.moments_.classes), list(self.moments_.groups)
        self.rank_, self.sample_weight_ = None if self.rank == "auto" else int(self.rank), None
        self._forget()
        return self
