"""What is classified: the classes, their training rows, the groups; read and checked at start."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isonomy.adapters._train._labels import (
    LABEL_NAMES,
    WHERE,
    check_codes,
    check_label_codes,
    read_codes,
)
from isonomy.adapters.losses import make_objective
from isonomy.errors import InvalidInputError, RareClassWarning

if TYPE_CHECKING:
    from isonomy.adapters.arguments import BiasAwareArguments
    from isonomy.adapters.losses import Objective

__all__ = ["Task", "is_multi_label", "objective_for", "read_task"]

Floats = NDArray[np.float64]
_GENERIC = re.compile(r"LABEL_\d+")  # what a configuration says that nobody gave names


@dataclass(frozen=True)
class Task:
    """Names of classes and groups in the order of their codes; None where nothing says them.

    ``class_counts`` are training rows, (K,).
    """

    classes: tuple[str, ...]
    class_counts: Floats | None
    groups: tuple[str, ...] | None
    multi_label: bool


def is_multi_label(args: BiasAwareArguments, objective: Objective | None) -> bool:
    """Whether rows bear several labels: asked for, or implied by the objective."""
    name = args.objective_name if objective is None else objective.name
    return args.multi_label or name.startswith("multi_label")


def read_task(
    args: BiasAwareArguments,
    model: Any,
    train_dataset: Any,
    eval_dataset: Any,
    objective: Objective | None,
) -> Task:
    """Read the codes of all data sets, check them, and count the training rows."""
    several = is_multi_label(args, objective)
    train = read_codes(train_dataset, LABEL_NAMES)
    classes = _classes(args, model, objective, train)
    data = {"train_dataset": train_dataset, **_evaluated(eval_dataset)}
    for name, dataset in data.items():
        labels = train if name == "train_dataset" else read_codes(dataset, LABEL_NAMES)
        if labels is not None:
            check_label_codes(labels, len(classes), multi_label=several, of=name)
    counts = _counts(args, classes, train, multi_label=several)
    if train_dataset is not None and counts is not None:
        warn_of_rare(counts, classes)
    return Task(classes, counts, _groups(args, data), several)


def _evaluated(eval_dataset: Any) -> dict[str, Any]:
    if isinstance(eval_dataset, Mapping):
        return {f"eval_dataset[{name!r}]": part for name, part in eval_dataset.items()}
    return {} if eval_dataset is None else {"eval_dataset": eval_dataset}


def _classes(
    args: BiasAwareArguments, model: Any, objective: Objective | None, train: Any
) -> tuple[str, ...]:
    """Return the names by the first that says them; all that count the classes must agree."""
    of_model = _names_of(model)
    generic = of_model is None or all(_GENERIC.fullmatch(name) for name in of_model)
    names = args.class_names or (None if generic else of_model)
    if names is None and isinstance(args.class_counts, dict):
        names = list(args.class_counts)
    sizes = {
        "`objective`": None if objective is None else objective.n_classes,
        "the head of `model`": None if of_model is None else len(of_model),
        "`class_names`": None if args.class_names is None else len(args.class_names),
        "`class_counts`": None if args.class_counts is None else len(args.class_counts),
    }
    known = {what: n for what, n in sizes.items() if n is not None}
    if len(set(known.values())) > 1:
        said = ", ".join(f"{what} {n}" for what, n in known.items())
        raise InvalidInputError(
            f"All that is passed to `{WHERE}` must count the same classes, got {said}. Build the "
            "head for the classes of the data."
        )
    if names is not None or of_model is not None:
        return tuple(names or of_model or ())
    if known:
        return tuple(str(code) for code in range(next(iter(known.values()))))
    return _classes_of_data(train)


def _classes_of_data(train: NDArray[Any] | None) -> tuple[str, ...]:
    if train is None or not train.size:
        raise InvalidInputError(
            f"`class_names` of `BiasAwareArguments` must name the classes where neither the model "
            f"nor the training data passed to `{WHERE}` says how many there are, got None."
        )
    k = train.shape[1] if train.ndim == 2 else int(train.max()) + 1
    return tuple(str(code) for code in range(k))


def _names_of(model: Any) -> list[str] | None:
    classes = getattr(model, "classes", None)
    if classes is not None:
        return [str(name) for name in classes]
    id2label = getattr(getattr(model, "config", None), "id2label", None)
    if not id2label or not hasattr(model.config, "num_labels"):
        return None
    return [str(id2label[code]) for code in sorted(id2label)]


def _counts(
    args: BiasAwareArguments,
    classes: Sequence[str],
    train: NDArray[Any] | None,
    *,
    multi_label: bool,
) -> Floats | None:
    given = args.class_counts
    if isinstance(given, dict):
        unknown = [name for name in [*given, *classes] if name not in given or name not in classes]
        if unknown:
            raise InvalidInputError(
                f"`class_counts` of `BiasAwareArguments` must have exactly the classes "
                f"{', '.join(map(repr, list(classes)[:5]))}{', ...' if len(classes) > 5 else ''}, "
                f"but {unknown[0]!r} is in one of the two alone. Use the model's class names."
            )
        return np.array([given[name] for name in classes], dtype=np.float64)
    if given is not None:
        return np.asarray(given, dtype=np.float64)
    if train is None:
        return None
    if multi_label:
        return np.asarray((train == 1).sum(axis=0), dtype=np.float64)
    return np.bincount(train[train >= 0], minlength=len(classes)).astype(np.float64)


def warn_of_rare(counts: Floats, classes: Sequence[str]) -> None:
    """Warn of classes with one training row or none: nothing can be said of how they vary."""
    rare = [f"{name} ({int(n)})" for name, n in zip(classes, counts, strict=True) if n <= 1]
    if rare:
        more = f" and {len(rare) - 5} more" if len(rare) > 5 else ""
        warnings.warn(
            f"Classes passed to `{WHERE}` have one training row or none: "
            f"{', '.join(rare[:5])}{more}. Nothing can be learnt of how their rows differ; "
            "add rows, or leave the classes out.",
            RareClassWarning,
            stacklevel=4,
        )


def _groups(args: BiasAwareArguments, data: Mapping[str, Any]) -> tuple[str, ...] | None:
    if args.group_column is None:
        return None
    known = None if args.group_names is None else len(args.group_names)
    largest = -1
    for name, dataset in data.items():
        codes = read_codes(dataset, [args.group_column])
        if codes is not None:
            checked = check_codes(codes, known, unknown=-1, name=args.group_column, of=name)
            largest = max(largest, int(checked.max(initial=-1)))
    if args.group_names is not None:
        return tuple(args.group_names)
    return None if largest < 0 else tuple(str(code) for code in range(largest + 1))


def objective_for(args: BiasAwareArguments, task: Task) -> Objective:
    """Make the objective that the arguments ask for."""
    if task.class_counts is None:
        raise InvalidInputError(
            f"`class_counts` of `BiasAwareArguments` must be given where the training data passed "
            f"to `{WHERE}` cannot be counted before training, got None."
        )
    settings = dict(args.loss_settings) if isinstance(args.loss_settings, dict) else {}
    if args.tail_rule is not None:
        settings.setdefault("rule", args.tail_rule)
    counts = dict(zip(task.classes, task.class_counts.tolist(), strict=True))
    return make_objective(
        args.objective_name,
        class_counts=counts,
        classes=task.classes,
        # one group cannot differ from another
        groups=task.groups if len(task.groups or ()) > 1 else None,
        **settings,
    )
