"""What every transformer that knows groups shares: frames, group columns, routing.

A subclass says how to fit and how to move numbers; this class reads frames, takes
group columns out, checks every argument, and gives the caller's own kind back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from isonomy._frames import (
    Table,
    column_list,
    is_frame,
    n_columns,
    read_table,
    take_columns,
    without_columns,
)
from isonomy._group_codes import MissingGroups, UnknownGroup, match_groups, resolve_groups
from isonomy._validation import (
    as_column,
    check_labels,
    check_same_length,
    check_sample_weight,
)
from isonomy.distributions import CellMoments
from isonomy.errors import InvalidInputError
from isonomy.groups import GroupCodes

__all__ = ["GroupAwareTransformer", "MissingGroups", "UnknownGroup", "resolve_groups"]


class GroupAwareTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Base of the steerers and of the baselines that move rows.

    Subclasses define the parameters ``missing_groups``, ``unknown_group`` and
    ``group_columns``, and the methods ``_fit_values`` and ``_transform_values``.
    """

    __metadata_request__fit = {"sensitive_features": True}
    __metadata_request__transform = {"sensitive_features": True}

    _requires_y = True

    missing_groups: MissingGroups
    unknown_group: UnknownGroup
    group_columns: Sequence[Any] | None

    def _fit_values(
        self,
        values: NDArray[Any],
        y: NDArray[Any] | None,
        groups: GroupCodes,
        sample_weight: NDArray[np.float64] | None,
    ) -> None:
        """Learn from ``values`` (n_samples, n_features); set fitted attributes."""
        raise NotImplementedError

    def _transform_values(
        self, values: NDArray[Any], codes: NDArray[np.intp] | None
    ) -> NDArray[Any]:
        """Move the rows; ``codes`` index ``groups_``, -1 is a group never seen in fit."""
        raise NotImplementedError

    def _uses_groups_at_transform(self) -> bool:
        """Whether ``transform`` needs to know the group of every row."""
        return True

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from training rows.

        Parameters
        ----------
        X : (n_samples, n_features) array or data frame
            Numeric columns are used; other columns of a frame pass untouched.
        y : (n_samples,)
            Class labels.
        sensitive_features : (n_samples,) or (n_samples, n_attributes), optional
            Groups; not needed with ``group_columns``.
        sample_weight : (n_samples,), optional
            Integer weights equal repeated rows.

        Raises
        ------
        InvalidInputError
            If an argument has a wrong shape, kind or value; the subclasses in
            ``isonomy.errors`` tell which.
        """
        where = f"{type(self).__name__}.fit"
        table, y_checked, groups, weight = self._read_training(
            X, y, sensitive_features, sample_weight, where=where, reset=True
        )
        self.groups_ = list(groups.labels)
        self._fit_values(table.values, y_checked, groups, weight)
        return self

    def transform(self, X: Any, *, sensitive_features: Any = None) -> Any:
        """Return the moved rows, in the caller's own kind and dtype.

        Raises
        ------
        GroupsRequiredError
            If this mode needs groups and none were given.
        UnknownGroupError
            If a row's group was never seen in ``fit`` and ``unknown_group="error"``.
        """
        where = f"{type(self).__name__}.transform"
        check_is_fitted(self)
        rest, found = self._split(X, sensitive_features, where=where, fitting=False)
        table = self._read(X, rest, where=where, reset=False)
        codes = None
        if self._uses_groups_at_transform():
            codes = self._codes(found, len(table.values), where=where)
        return table.rebuild(self._transform_values(table.values, codes))

    def fit_transform(
        self,
        X: Any,
        y: Any = None,
        *,
        sensitive_features: Any = None,
        sample_weight: ArrayLike | None = None,
    ) -> Any:
        """Fit, then transform the same rows with the same groups."""
        self.fit(X, y, sensitive_features=sensitive_features, sample_weight=sample_weight)
        return self.transform(X, sensitive_features=sensitive_features)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns of ``transform``'s output, in order."""
        check_is_fitted(self)
        known = list(getattr(self, "feature_names_in_", []))
        if input_features is not None:
            given = [str(name) for name in input_features]
            if known and given != [str(name) for name in known]:
                raise ValueError("input_features is not equal to feature_names_in_")
            if len(given) != self.n_features_in_:
                raise ValueError(
                    "input_features should have length equal to number of features "
                    f"({self.n_features_in_}), got {len(given)}"
                )
            if not known:
                columns = column_list(self.group_columns)
                dropped = {int(c) % self.n_features_in_ for c in columns}
                kept = [name for j, name in enumerate(given) if j not in dropped]
                return np.asarray(kept, dtype=object)
        return np.asarray(self._output_columns, dtype=object)

    def _read_training(
        self,
        X: Any,
        y: Any,
        sensitive_features: Any,
        sample_weight: Any,
        *,
        where: str,
        reset: bool,
        min_groups: int = 2,
    ) -> tuple[Table, NDArray[Any] | None, GroupCodes, NDArray[np.float64] | None]:
        rest, found = self._split(X, sensitive_features, where=where, fitting=True)
        table = self._read(X, rest, where=where, reset=reset)
        n = len(table.values)
        labels = None
        if self._requires_y:
            labels = check_labels(y, where=where, n_samples=n)
        elif y is not None:  # another step's target, perhaps a number
            check_same_length("y", len(as_column(y)), n, where=where)
        groups = resolve_groups(
            found,
            n_samples=n,
            missing_groups=self.missing_groups,
            min_groups=min_groups,
            where=where,
        )
        return table, labels, groups, check_sample_weight(sample_weight, n, where=where)

    def _read_moments(self, moments: Any, *, where: str) -> CellMoments:
        """Check moments that stand in for training rows; set what `fit` sets of their columns."""
        if not isinstance(moments, CellMoments):
            raise InvalidInputError(
                f"`moments` passed to `{where}` must be `CellMoments`, got "
                f"{type(moments).__name__}. For rows call `fit`."
            )
        if column_list(self.group_columns):
            raise InvalidInputError(
                f"`group_columns` of `{where}` must be None, got {self.group_columns!r}: moments "
                "hold the groups already and no columns to take them from."
            )
        counts = moments.counts
        _check_moment_groups(moments, counts, single=self.missing_groups == "single", where=where)
        if not np.isfinite(moments.means[counts > 0]).all():
            raise InvalidInputError(
                f"`moments` passed to `{where}` must be finite, got means with NaN or infinity. "
                "Look for such rows in what they were collected from."
            )
        names = moments.feature_names
        self.__dict__.pop("feature_names_in_", None)
        if names is not None:
            self.feature_names_in_ = np.asarray(names, dtype=object)
        self.n_features_in_ = moments.n_features
        columns = [f"x{j}" for j in range(moments.n_features)] if names is None else list(names)
        self.steered_columns_, self.untouched_columns_ = columns, list[str]()
        self._output_columns = list(columns)
        return moments

    def _split(
        self, X: Any, sensitive_features: Any, *, where: str, fitting: bool
    ) -> tuple[Any, Any]:
        columns = column_list(self.group_columns)
        if not columns:
            return X, sensitive_features
        if sensitive_features is not None and fitting:
            raise InvalidInputError(
                f"`{where}` got both `sensitive_features` and `group_columns`; give one."
            )
        if not fitting and not self._uses_groups_at_transform():
            if is_frame(X):
                return without_columns(X, columns, where=where), None
            if np.ndim(X) == 2 and n_columns(X) == self.n_features_in_ - len(columns):
                return X, None  # served without the groups, which this mode does not need
        return take_columns(X, columns, where=where)

    def _read(self, X: Any, rest: Any, *, where: str, reset: bool) -> Table:
        table = read_table(rest, where=where, estimator=self)
        if reset:
            validate_data(self, X=X, reset=True, skip_check_array=True)
            self.steered_columns_ = list(table.names)
            self.untouched_columns_ = list(table.untouched)
            self._output_columns = list(table.column_names)
            return table
        if not column_list(self.group_columns) or n_columns(X) == self.n_features_in_:
            validate_data(self, X=X, reset=False, skip_check_array=True)
        if list(table.names) != self.steered_columns_ and table.frame is not None:
            raise InvalidInputError(
                f"`X` passed to `{where}` must have the numeric columns seen in `fit` "
                f"({', '.join(map(str, self.steered_columns_))}), got "
                f"{', '.join(map(str, table.names))}."
            )
        if len(table.names) != len(self.steered_columns_):
            raise InvalidInputError(
                f"`X` passed to `{where}` must have the {len(self.steered_columns_)} features "
                f"that it is expecting as input since `fit`, got {len(table.names)}."
            )
        return table

    def _codes(self, found: Any, n_samples: int, *, where: str) -> NDArray[np.intp]:
        return match_groups(
            found,
            self.groups_,
            n_samples=n_samples,
            missing_groups=self.missing_groups,
            unknown_group=self.unknown_group,
            where=where,
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self._requires_y
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _check_moment_groups(
    moments: CellMoments, counts: NDArray[np.float64], *, single: bool, where: str
) -> None:
    """Raise unless every group has rows, and (unless ``single``) there are two at least."""
    empty = [str(g) for g, n in zip(moments.groups, counts.sum(axis=0), strict=True) if not n > 0]
    if empty or not moments.groups:
        raise InvalidInputError(
            f"`moments` passed to `{where}` must hold rows of every group, got none of "
            f"{', '.join(empty) or 'any'}. Collect rows of it, or leave it out of `groups`."
        )
    if len(moments.groups) < 2 and not single:
        raise InvalidInputError(
            f"`moments` passed to `{where}` must hold at least 2 groups, got only "
            f"{moments.groups[0]!r}. With one group there is nothing to equalise; set "
            '`missing_groups="single"` to let the rows pass unchanged.'
        )
