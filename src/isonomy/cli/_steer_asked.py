"""From the options of ``isonomy steer`` to what it was asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from isonomy.cli._steer_model_request import ModelRequest, OfModel
from isonomy.cli._steer_request import ApplyRequest, Mode, SteerRequest, refuse_with_apply
from isonomy.cli._steering_options import Steering
from isonomy.errors import InvalidInputError

__all__ = ["model_request", "needed_file", "table_request", "tables_alone"]

MissingGroups = Literal["raise", "own_group"]


def table_request(
    features: str | None,
    apply: Path | None,
    batch_rows: int | None,
    steering: Steering,
    label: str | None,
    group: Sequence[str] | None,
    mode: Mode,
    test_size: float,
    drop_missing: bool,
    missing_groups: MissingGroups,
    random_state: int,
) -> SteerRequest | ApplyRequest:
    """Return what to learn from a file of numbers, or what to apply to it."""
    groups = tuple(group or ())
    if apply is not None:
        refuse_with_apply(label, features, steering)
        return ApplyRequest(apply, groups, drop_missing, batch_rows)
    return SteerRequest(
        label or "",
        groups,
        features or "",
        mode,
        test_size,
        drop_missing,
        missing_groups,
        random_state,
        batch_rows,
        steering,
    )


def model_request(
    file: Path | None,
    of_model: OfModel,
    label: str | None,
    group: Sequence[str] | None,
    mode: Mode,
    test_size: float,
    drop_missing: bool,
    missing_groups: MissingGroups,
    random_state: int,
    *,
    given: dict[str, Any],
) -> ModelRequest:
    """Return what to do with a language model; ``given`` are options that do not belong.

    Raises
    ------
    InvalidInputError
        If the texts are named twice.
    """
    if file is not None and of_model.dataset is not None:
        raise InvalidInputError(
            f"The texts must be named once, got FILE {file} and --dataset {of_model.dataset}. "
            "Leave one out."
        )
    return ModelRequest(
        dataset=of_model.dataset or ("" if file is None else str(file)),
        label=label or "",
        groups=tuple(group or ()),
        of_model=of_model,
        mode=mode,
        test_size=test_size,
        drop_missing=drop_missing,
        missing_groups=missing_groups,
        random_state=random_state,
        given=given,
    )


def tables_alone(
    features: str | None,
    apply: Path | None,
    batch_rows: int | None,
    encoding: str,
    delimiter: str | None,
    steering: Steering,
) -> dict[str, Any]:
    """Return the options that files of numbers alone have, with what was given for them."""
    return {
        "--features": features is not None,
        "--apply": apply is not None,
        "--batch-rows": batch_rows is not None,
        "--encoding": encoding != "utf-8",
        "--delimiter": delimiter is not None,
        **dict.fromkeys(steering.named(), True),
    }


def needed_file(file: Path | None) -> Path:
    """Return ``file``, or say that there must be one.

    Raises
    ------
    InvalidInputError
        If it is None.
    """
    if file is None:
        raise InvalidInputError(
            "`isonomy steer` needs FILE, the rows to steer; or --model to steer a language "
            "model. See `isonomy steer --help`."
        )
    return file
