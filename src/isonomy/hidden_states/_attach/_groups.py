"""The groups of the next batch: set by the caller, checked before the model runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from isonomy.errors import GroupsRequiredError, InvalidInputError
from isonomy.hidden_states._attach._rows import RowGroups, as_labels

if TYPE_CHECKING:
    from isonomy.hidden_states._attach._steering import Steering
    from isonomy.hidden_states._attach._step import Step
    from isonomy.hidden_states._model._positions import Positions

__all__ = ["BatchGroups"]


class BatchGroups:
    """What one ``attached`` block knows of its batch's groups.

    Parameters
    ----------
    steerings : list of Steering
    positions : Positions
    """

    def __init__(self, steerings: list[Steering], positions: Positions) -> None:
        self.steerings = steerings
        self.positions = positions
        self.passed = False
        self._asking = [s for s in steerings if s.mover.maps.needs_groups]
        self._rows: dict[object, RowGroups] | None = None
        self._n_rows = 0
        self._batch: torch.Tensor | None = None

    def set(self, groups: Any, *, where: str) -> None:
        """Take the groups of the next batch, one a row."""
        if not self._asking:
            return
        labels = as_labels(groups)
        n_rows = _count(labels, where=where)
        rows = {s.key: RowGroups.of(s.mover.maps, labels, where=where) for s in self._asking}
        self._rows, self._n_rows, self._batch = rows, n_rows, None

    def check(self, n_rows: int) -> None:
        """Raise unless there is one group for each of ``n_rows`` rows, if any is needed."""
        if not self._asking:
            return
        if self._rows is None:
            raise GroupsRequiredError(
                "`sensitive_features` passed to `attached` must hold the group of every row, "
                "because the steerer has one map a group, got None. Pass it, or call "
                "`set_groups` on the handle before every batch."
            )
        if self._n_rows != n_rows:
            raise InvalidInputError(
                "`set_groups` of the handle of `attached` must be given one group a row of the "
                f"next batch ({n_rows}), got {self._n_rows}. Call it before every batch."
            )

    def fill(self, step: Step, n_prompts: int | None) -> None:
        """Give the pass the groups of its rows.

        ``n_prompts`` are those given to ``generate``, which may repeat each of them for
        beams and samples; None outside it.
        """
        if not self._asking:
            return
        times = 1
        if n_prompts is not None and step.batch % n_prompts == 0:
            times = step.batch // n_prompts
        self.check(step.batch // times)
        if n_prompts is None and step.past == 0:
            self.check_texts(step.input_ids)
        assert self._rows is not None
        for key, rows in self._rows.items():
            step.rows[key] = rows.repeated(times)

    def check_texts(self, ids: Any) -> None:
        """Raise if the groups were given for other texts, and the call for these was forgotten."""
        if ids is None or not self._asking or torch.compiler.is_compiling():
            return
        if self._batch is None:
            self._batch = ids
            return
        n = self._batch.shape[1]
        grown = ids.shape[1] >= n and self._batch.device == ids.device
        if ids is self._batch or (grown and torch.equal(ids[:, :n], self._batch)):
            return
        raise GroupsRequiredError(
            "`set_groups` of the handle of `attached` must be called before every batch: the "
            "groups at hand were given for other texts, which the model has seen. Call it "
            "again, with the same groups if they have not changed."
        )


def _count(labels: Any, *, where: str) -> int:
    if labels is None:
        raise GroupsRequiredError(
            f"`groups` passed to `{where}` must hold the group of every row, because the steerer "
            "has one map a group, got None. Pass one group a row."
        )
    try:
        return len(labels)
    except TypeError:
        raise InvalidInputError(
            f"`groups` passed to `{where}` must be a sequence with one group a row, got "
            f"{labels!r}. Put it into a list."
        ) from None
