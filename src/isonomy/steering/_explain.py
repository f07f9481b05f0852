"""What steering did to single rows, in words and numbers a person can check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray

from isonomy._frames import read_table
from isonomy._validation import check_count
from isonomy.distributions import CellMoments

__all__ = ["ExplainsRows", "RowExplanations", "explain_move", "standard_deviations"]


@dataclass(frozen=True)
class RowExplanations:
    """Distance, leading features and decision of every row, before and after.

    Attributes
    ----------
    distance : (n_samples,)
        Root mean square move over the features, each in units of its standard
        deviation among the training rows, on the scale on which the family is normal.
    features : (n_samples, top)
        Names of the features that moved most, in those units, the most first.
    moves : (n_samples, top)
        Their signed moves in the feature's own unit.
    decision_before, decision_after : (n_samples,) or None
        The estimator's decisions, where one was given.
    """

    distance: NDArray[np.float64]
    features: NDArray[np.object_]
    moves: NDArray[np.float64]
    decision_before: NDArray[Any] | None
    decision_after: NDArray[Any] | None

    @property
    def changed(self) -> NDArray[np.bool_] | None:
        """Whether the decision changed; None without an estimator."""
        if self.decision_before is None:
            return None
        changed: NDArray[np.bool_] = self.decision_before != self.decision_after
        return changed

    def to_dict(self) -> dict[str, list[Any]]:
        """Return the columns of :meth:`to_frame` as lists."""
        columns: dict[str, list[Any]] = {"distance": self.distance.tolist()}
        for j in range(self.features.shape[1]):
            columns[f"feature_{j + 1}"] = self.features[:, j].tolist()
            columns[f"move_{j + 1}"] = self.moves[:, j].tolist()
        if self.decision_before is not None and self.decision_after is not None:
            columns["decision_before"] = self.decision_before.tolist()
            columns["decision_after"] = self.decision_after.tolist()
            columns["decision_changed"] = (self.decision_before != self.decision_after).tolist()
        return columns

    def to_frame(self, backend: Literal["pandas", "polars"] = "pandas") -> Any:
        """Return one row a sample as a pandas or polars frame."""
        return nw.to_native(nw.from_dict(self.to_dict(), backend=backend))


class ExplainsRows:
    """The part of ``IdealSteerer`` that says what it did to single rows."""

    if TYPE_CHECKING:

        def transform(self, X: Any, *, sensitive_features: Any = None) -> Any: ...
        def _split(self, X: Any, groups: Any, *, where: str, fitting: bool) -> Any: ...

    def explain_rows(
        self,
        X: Any,
        *,
        sensitive_features: Any = None,
        estimator: Any = None,
        top: int = 3,
    ) -> RowExplanations:
        """Say for each row how far it moved, along which features, and whether it matters.

        Parameters
        ----------
        X : (n_samples, n_features)
        sensitive_features : (n_samples,), optional
            Needed where ``transform`` needs it.
        estimator : fitted classifier, optional
            Its decision on the row before and after is compared.
        top : int
            Features to name: those that moved most, in standard deviations.

        Returns
        -------
        RowExplanations
        """
        after = self.transform(X, sensitive_features=sensitive_features)
        before, _ = self._split(X, None, where="IdealSteerer.explain_rows", fitting=False)
        return explain_move(self, before, after, estimator=estimator, top=top)


def explain_move(
    steerer: Any, before: Any, after: Any, *, estimator: Any = None, top: int = 3
) -> RowExplanations:
    """Compare rows before and after; ``steerer`` gives the names and the scale."""
    where = "explain_rows"
    check_count("top", top, where=where)
    names: list[Any] = list(steerer.steered_columns_)
    first = read_table(before, where=where).values.astype(np.float64)
    second = read_table(after, where=where).values.astype(np.float64)
    move = second - first
    ahead = steerer._working.ahead
    working = ahead(second, names, where=where) - ahead(first, names, where=where)
    scale = steerer.scale_
    relative = np.divide(working, scale, out=np.zeros_like(move), where=scale > 0)
    order = np.argsort(-np.abs(relative), axis=1, kind="stable")[:, : min(top, move.shape[1])]
    return RowExplanations(
        np.sqrt((relative**2).mean(axis=1)),
        np.asarray(names, dtype=object)[order],
        np.take_along_axis(move, order, axis=1),
        None if estimator is None else np.asarray(estimator.predict(before)),
        None if estimator is None else np.asarray(estimator.predict(after)),
    )


def standard_deviations(moments: CellMoments) -> NDArray[np.float64]:
    """Return the overall standard deviation of every feature, from cell moments."""
    counts, means = moments.counts, np.nan_to_num(moments.means)
    share = counts / counts.sum()
    if moments.covariance == "tied":
        variances = np.diagonal(moments.covariances, axis1=1, axis2=2)[None]
    elif moments.covariance == "full":
        variances = np.diagonal(moments.covariances, axis1=2, axis2=3)
    else:
        variances = moments.covariances
    spread = (means - moments.total_mean()) ** 2 + np.nan_to_num(variances)
    deviation: NDArray[np.float64] = np.sqrt(np.einsum("ya,yad->d", share, spread))
    return deviation
