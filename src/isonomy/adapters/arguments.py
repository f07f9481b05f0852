"""``BiasAwareArguments``: the Trainer's arguments and those of ``BiasAwareTrainer``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from transformers import TrainingArguments

from isonomy._plain import plain_json
from isonomy._validation import check_choice, check_count, check_real
from isonomy.adapters._train._group_metrics import WORST_CLASS_GROUP
from isonomy.adapters._train._strategies import check_objective_name, objective_of
from isonomy.adapters.losses import objective_settings
from isonomy.errors import InvalidInputError

__all__ = ["BiasAwareArguments"]

WHERE = "BiasAwareArguments"


def _about(text: str) -> dict[str, str]:
    # `HfArgumentParser` prints it
    return {"help": text}


@dataclass(repr=False)  # the Trainer's own hides tokens
class BiasAwareArguments(TrainingArguments):  # type: ignore[misc]
    """Hold the arguments of a training run in which rare classes are served like common ones.

    All arguments of ``transformers.TrainingArguments``, and those below. They stay plain:
    ``to_dict`` and ``to_json_string`` hold what rebuilds them, and ``HfArgumentParser`` reads
    them from a command line (mappings as JSON).

    Attributes
    ----------
    strategy : str, default "equity"
        Names the objective and, for `finetune`, the weights that train: "equity" (the equity
        regulariser), "intermediate" (the label-balance constraints), "lora", "full" and
        "layer_norms" (cross-entropy), or the name of any objective.
    loss : str, optional
        An objective of ``isonomy.adapters.losses.make_objective`` in place of the strategy's.
    loss_settings : mapping or JSON, optional
        Settings of the objective.
    class_counts : mapping, sequence or JSON, optional
        Training rows of each class: {name: rows}, or numbers in the order of the codes. By
        default counted from ``train_dataset``.
    class_names : list of str, optional
        Names in the order of the label codes. By default those of the model.
    multi_label : bool, default False
        Labels are (n, K) of 0 and 1, several a row.
    tail_rule : "count", "ratio" or "names", optional
        How the objective parts the classes into privileged and unprivileged ones; its
        further settings stand in ``loss_settings``. By default the objective's own rule.
    group_column : str or None, default "groups"
        The column of demographic group codes, where a data set has one; it never reaches
        the model. None: no column is taken for groups.
    group_names : list of str, optional
        Names in the order of the group codes.
    row_column : str, optional
        A column of row numbers that never reaches the model; a message about rows names them.
    worst_group_patience : int, optional
        Stop after so many evaluations in which the worst class group has not improved, and
        keep the best weights.
    overwrite_output_dir : bool, default False
        Start anew in a folder that holds something already; its checkpoints are deleted.

    Raises
    ------
    InvalidInputError
        If one of the arguments below is of the wrong kind or contradicts another one.

    Notes
    -----
    ``worst_group_patience`` sets ``metric_for_best_model`` to
    "eval_worst_class_group_accuracy" and ``load_best_model_at_end``, unless you named another
    metric. ``label_smoothing_factor`` must stay 0: the objective is the whole loss.

    Examples
    --------
    >>> asked = BiasAwareArguments("runs", strategy="lora", loss="focal", use_cpu=True,
    ...                            loss_settings='{"gamma": 1.0}', report_to=[])
    >>> asked.objective_name, asked.loss_settings
    ('focal', {'gamma': 1.0})
    >>> BiasAwareArguments(**asked.to_dict()).to_dict() == asked.to_dict()
    True
    """

    strategy: str = field(default="equity", metadata=_about("Which weights and which loss train."))
    loss: str | None = field(default=None, metadata=_about("Objective in place of the strategy's."))
    loss_settings: dict[str, Any] | str | None = field(
        default=None, metadata=_about("Settings of the objective, as JSON.")
    )
    class_counts: dict[str, Any] | str | list[Any] | None = field(
        default=None, metadata=_about("Training rows of each class, as JSON.")
    )
    class_names: list[str] | None = field(
        default=None, metadata=_about("Names of the classes in the order of their codes.")
    )
    multi_label: bool = field(default=False, metadata=_about("Labels are 0 and 1 for each class."))
    tail_rule: str | None = field(
        default=None, metadata=_about("How classes are parted: count, ratio or names.")
    )
    group_column: str | None = field(
        default="groups", metadata=_about("Column of demographic group codes.")
    )
    group_names: list[str] | None = field(
        default=None, metadata=_about("Names of the groups in the order of their codes.")
    )
    row_column: str | None = field(
        default=None, metadata=_about("Column of row numbers, for messages.")
    )
    worst_group_patience: int | None = field(
        default=None, metadata=_about("Evaluations without progress of the worst class group.")
    )
    overwrite_output_dir: bool = field(
        default=False, metadata=_about("Start anew in a folder that holds checkpoints.")
    )

    def __post_init__(self) -> None:
        self.loss_settings = _parsed(self.loss_settings, name="loss_settings")
        self.class_counts = _parsed(self.class_counts, name="class_counts")
        if self.worst_group_patience is not None:
            self._watch_worst_group()
        super().__post_init__()
        self._check_objective()
        self._check_classes()
        self._check_names("class_names")
        self._check_names("group_names")
        self._check_columns()

    @property
    def objective_name(self) -> str:
        """The name of the objective: ``loss``, or the one that the strategy stands for."""
        return objective_of(self.strategy, self.loss, multi_label=self.multi_label)

    def _watch_worst_group(self) -> None:
        check_count("worst_group_patience", self.worst_group_patience, where=WHERE)
        if str(getattr(self.eval_strategy, "value", self.eval_strategy)) == "no":
            raise InvalidInputError(
                f"`worst_group_patience` of `{WHERE}` must go with an `eval_strategy`, got "
                f"{self.worst_group_patience} and 'no'. Set `eval_strategy` to 'epoch' or 'steps'."
            )
        metric: str | None = getattr(self, "metric_for_best_model", None)
        if metric is None:
            self.metric_for_best_model = f"eval_{WORST_CLASS_GROUP}"
            self.greater_is_better = True
            self.load_best_model_at_end = True

    def _check_objective(self) -> None:
        check_objective_name("strategy", self.strategy, where=WHERE)
        if self.loss is not None:
            check_objective_name("loss", self.loss, where=WHERE)
        if self.loss_settings is not None and not isinstance(self.loss_settings, dict):
            raise InvalidInputError(
                f"`loss_settings` of `{WHERE}` must be a mapping of settings of the objective, "
                f"got {self.loss_settings!r}."
            )
        if self.tail_rule is not None:
            check_choice("tail_rule", self.tail_rule, ("count", "ratio", "names"), where=WHERE)
            if "rule" not in objective_settings()[self.objective_name]:
                raise InvalidInputError(
                    f"`tail_rule` of `{WHERE}` must be None for the objective "
                    f"{self.objective_name!r}, which parts no classes, got {self.tail_rule!r}."
                )
        if not isinstance(self.multi_label, bool):
            raise InvalidInputError(
                f"`multi_label` of `{WHERE}` must be True or False, got {self.multi_label!r}."
            )
        if self.label_smoothing_factor != 0:
            raise InvalidInputError(
                f"`label_smoothing_factor` of `{WHERE}` must be 0, since the objective is the "
                f"whole loss, got {self.label_smoothing_factor}."
            )

    def _check_classes(self) -> None:
        given: Any = self.class_counts
        if given is None:
            return
        if not isinstance(given, dict | list) or not given:
            raise InvalidInputError(
                f"`class_counts` of `{WHERE}` must be {{class name: training rows}} or a list of "
                f"numbers in the order of the label codes, got {given!r}."
            )
        for n in given.values() if isinstance(given, dict) else given:
            check_real("class_counts", n, where=WHERE, low=0)

    def _check_names(self, name: str) -> None:
        names = getattr(self, name)
        if names is None:
            return
        is_list = isinstance(names, list | tuple) and len(names) > 0
        if not is_list or not all(isinstance(n, str) and n for n in names):
            raise InvalidInputError(
                f"`{name}` of `{WHERE}` must be a list of names in the order of the codes, got "
                f"{names!r}."
            )
        if len(set(names)) < len(names):
            twice = next(n for i, n in enumerate(names) if n in names[:i])
            raise InvalidInputError(f"`{name}` of `{WHERE}` must differ, got {twice!r} twice.")
        setattr(self, name, list(names))

    def _check_columns(self) -> None:
        taken = {"labels": "the labels", "label": "the labels", "label_ids": "the labels"}
        for name in ("group_column", "row_column"):
            column = getattr(self, name)
            if column is None:
                continue
            if not isinstance(column, str) or not column or column in taken:
                raise InvalidInputError(
                    f"`{name}` of `{WHERE}` must be the name of a column of its own, got "
                    f"{column!r}{f', which names {taken[column]}' if column in taken else ''}."
                )
            taken[column] = f"`{name}` too"


def _parsed(value: Any, *, name: str) -> Any:
    """Return what JSON text stands for, and anything else made of plain values."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, str):
        return plain_json(value, name=name, where=WHERE)
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise InvalidInputError(
            f"`{name}` of `{WHERE}` must be a mapping or JSON, got the text {value!r}, which is no "
            f"JSON: {error}."
        ) from error
