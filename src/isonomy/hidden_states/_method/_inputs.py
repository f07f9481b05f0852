"""What a method is fitted on: moments, or rows with labels, groups, weights and a head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isonomy._frames import read_table
from isonomy._validation import check_labels, check_sample_weight
from isonomy._weighted_fit import fit_weighted
from isonomy.distributions import CellMoments
from isonomy.errors import InvalidInputError
from isonomy.groups import GroupCodes, encode_groups, kamiran_calders_weights
from isonomy.hidden_states._method._head_shift import is_fitted, read_linear_head

__all__ = ["WHERE", "MethodInputs", "default_head", "fit_head_on", "state_rows"]

WHERE = "fit_method"

Floats = NDArray[np.float64]


def default_head() -> Any:
    """Return the head that is fitted where none is given: standardised logistic regression."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def state_rows(X: Any, *, where: str) -> NDArray[Any]:
    """Return hidden states ``(n_samples, d)`` as checked floats; tensors come to the host."""
    if hasattr(X, "detach"):  # a tensor; bf16 has no NumPy type of its own
        X = X.detach().cpu()
        X = (X if X.element_size() > 2 else X.float()).numpy()
    return read_table(X, where=where).values


def fit_head_on(
    head: Any, X: Any, y: Any, *, groups: Any, weight: Any, rule: str, where: str
) -> Any:
    """Return a clone of ``head`` fitted under the method's rule of weights."""
    if rule == "kamiran_calders":
        weight = kamiran_calders_weights(y, sensitive_features=groups, sample_weight=weight)
    return fit_weighted(clone(head), X, y, weight, where=where)


@dataclass(frozen=True)
class MethodInputs:
    """The arguments of ``fit_method``, checked; ``settings`` are the method's own."""

    name: str
    moments: CellMoments | None
    X: NDArray[Any] | None
    y: Any
    groups: Any
    weight: Floats | None
    head: Any
    random_state: Any
    settings: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        name: str,
        moments: Any,
        X: Any,
        y: Any,
        groups: Any,
        weight: Any,
        head: Any,
        random_state: Any,
        settings: Mapping[str, Any],
    ) -> MethodInputs:
        """Check what does not depend on the method."""
        if moments is None and X is None:
            raise InvalidInputError(
                f"`{WHERE}` needs `moments` or rows (`X`, `y`, `sensitive_features`), got neither."
            )
        if moments is not None and not isinstance(moments, CellMoments):
            raise InvalidInputError(
                f"`moments` passed to `{WHERE}` must be `CellMoments` of one layer, got "
                f"{type(moments).__name__}. Of what `collect` returned take `collected[layer]`."
            )
        if X is None:
            for label, value in (("y", y), ("sensitive_features", groups)):
                if value is not None:
                    raise InvalidInputError(
                        f"`{label}` passed to `{WHERE}` must go with rows `X`, got none."
                    )
            return cls(name, moments, None, None, None, None, head, random_state, settings)
        rows = state_rows(X, where=WHERE)
        if moments is not None and moments.n_features != rows.shape[1]:
            raise InvalidInputError(
                f"`X` passed to `{WHERE}` must have the {moments.n_features} features of "
                f"`moments`, got {rows.shape[1]}."
            )
        checked = check_sample_weight(weight, len(rows), where=WHERE)
        return cls(name, moments, rows, y, groups, checked, head, random_state, settings)

    @property
    def d(self) -> int:
        """Size of the hidden state."""
        if self.X is not None:
            return int(self.X.shape[1])
        assert self.moments is not None  # `of` asks for one of the two
        return self.moments.n_features

    def rows(self, why: str) -> NDArray[Any]:
        """Return the rows, or raise that this method cannot do without them."""
        if self.X is None:
            raise InvalidInputError(
                f"`{WHERE}` cannot fit {self.name!r} on moments: {why}. Pass rows (`X`, `y` and "
                "`sensitive_features`), as `collect(..., rows=...)` keeps them."
            )
        return self.X

    def labels(self) -> NDArray[Any]:
        """Return the checked labels of the rows."""
        assert self.X is not None
        return check_labels(self.y, where=WHERE, n_samples=len(self.X), min_classes=2)

    def group_codes(self) -> GroupCodes:
        """Return the groups of the rows."""
        assert self.X is not None
        return encode_groups(self.groups, n_samples=len(self.X), where=WHERE)

    def group_sizes(self) -> dict[Any, float]:
        """Return the weight of every group."""
        if self.moments is not None:
            sizes = self.moments.counts.sum(axis=0)
            return dict(zip(self.moments.groups, sizes.tolist(), strict=True))
        found = self.group_codes()
        sizes = np.bincount(found.codes, weights=self.weight, minlength=len(found.labels))
        return dict(zip(found.labels, sizes.tolist(), strict=True))

    def named_head(self) -> Any:
        """Return the head; if it names no classes, its rows are those of the sorted labels."""
        if self.head is None or hasattr(self.head, "predict"):
            return self.head
        if self.X is not None and self.y is not None:
            classes = np.unique(self.labels())
        elif self.moments is not None:
            classes = np.unique(np.asarray(self.moments.classes))
        else:
            return self.head
        return read_linear_head(self.head, d=self.d, classes=classes, where=WHERE)

    def fitted_head(self, X: Any, rule: str) -> Any:
        """Return the head as given, or, if it is an unfitted estimator, fitted on ``X``."""
        if self.head is None or is_fitted(self.head) or self.X is None:
            return self.named_head()
        return fit_head_on(
            self.head,
            X,
            self.labels(),
            groups=self.groups,
            weight=self.weight,
            rule=rule,
            where=WHERE,
        )

    def refuse_settings(self, known: Mapping[str, Any] | tuple[str, ...] = ()) -> None:
        """Raise for a setting that is not among ``known``."""
        unknown = [s for s in self.settings if s not in known]
        if unknown:
            raise InvalidInputError(
                f"`settings` passed to `{WHERE}` for {self.name!r} must be among "
                f"{', '.join(known) or 'none at all'}, got {', '.join(unknown)}."
            )
