"""Everything that a fine-tuning run can be told, checked before anything is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from isonomy._plain import plain_json
from isonomy._validation import check_choice, check_count, check_real
from isonomy.adapters._train._strategies import check_objective_name
from isonomy.errors import InvalidInputError

__all__ = ["WHERE", "FinetuneOptions", "Finish", "Head", "Init", "Spread"]

WHERE = "finetune"

Head = Literal["auto", "classification", "label_words", "clip"]
Init = Literal["auto", "default", "tail_structure", "tail_gradient"]
Finish = Literal["auto", "none", "class_means"]
Start = Literal["default", "tail_structure", "tail_gradient"]
Spread = Literal["attention", "one_layer", "norms", "all"]
"""Which weights train: LoRA on all attention maps, LoRA on one layer, norms alone, everything."""

_OF_STRATEGY: dict[str, tuple[Spread, str, Start, float]] = {
    "equity": ("attention", "equity", "tail_structure", 1e-3),
    "intermediate": ("one_layer", "label_balance", "default", 2e-3),
    "lora": ("attention", "cross_entropy", "default", 1e-3),
    "layer_norms": ("norms", "cross_entropy", "default", 2e-3),
    "full": ("all", "cross_entropy", "default", 1e-4),
}


_FINISHED = frozenset({"equity", "intermediate"})
"""Strategies whose classification head is finished."""


@dataclass(frozen=True)
class FinetuneOptions:
    """The settings of a run beside model and data.

    Parameters
    ----------
    strategy : str
        "equity": LoRA on Q, K, V and O, started from the rare classes, with the equity
        regulariser. "intermediate": LoRA on one chosen layer with the label-balance
        constraints. "lora": plain LoRA with cross-entropy. "layer_norms": norms alone.
        "full": all weights. Any other name is that of an objective
        (`isonomy.adapters.losses.make_objective`), trained with LoRA on Q, K, V and O.
    head : "auto", "classification", "label_words" or "clip"
        What decides: a classification head on the model; the probabilities that a causal
        model gives the names of the classes; pictures against the names of the classes.
        "auto" is "clip" for pictures and "classification" for texts.
    loss : str, optional
        An objective in place of the strategy's.
    loss_settings : mapping, optional
        Passed on to `make_objective`.
    init : "auto", "default", "tail_structure" or "tail_gradient"
        How LoRA starts; "auto" as the strategy says.
    finish : "auto", "none" or "class_means"
        Whether the trained classification head is joined with class means of the trained
        states (`class_means_finish`). "auto": with "equity" and "intermediate", and the
        trained head stays if the new one is worse on the rows that watch the training.
    finish_weight : float
        Of the class means, where the trained head has 1.
    layer : int, optional
        The one layer of "intermediate" (from 0); by default it is chosen.
    layer_method : str
        How `choose_layer` chooses it.
    r, lora_alpha, lora_dropout : int, int, float
        Rank, scale and dropout of LoRA.
    classes : sequence of str, optional
        All classes, in the order of the head's outputs; by default those in the data, sorted.
    split, validation_split, test_split : str, optional
        Names of the splits, where the data set has several.
    split_column : str, optional
        A column that says "train", "validation" or "test".
    validation_size, test_size : float
        Shares of every class kept for watching the training, and for judging, where the
        data set does not say.
    drop_missing : bool
        Leave out rows without text or label instead of refusing them.
    max_bad_share : float in [0, 1]
        Pictures that do not open are left out, and listed, up to this share of all.
    epochs, max_steps : float, int
        How long to train; ``max_steps`` wins.
    batch_size, accumulate : int
        Rows a pass through the model; passes a step.
    learning_rate : float, optional
        By default the strategy's own.
    warmup, weight_decay : float
        Share of the steps with a growing rate; pull of the weights to zero.
    patience : int, optional
        Stop when the worst class group of the validation rows has not improved for so many
        looks; the best weights are kept then.
    max_length : int, optional
        Cut texts after so many tokens.
    template : str, optional
        With "label_words" and "clip": how a text, or a class name, becomes a prompt.
    dtype, device, quantization, revision, trust_remote_code
        As `isonomy.hidden_states.load_model` takes them.
    gradient_checkpointing : bool
        Less memory for more time.
    before : bool
        Judge the model before training too.
    min_cell, n_boot : int
        As `isonomy.audit` takes them.
    random_state : int
        Seed of everything random.

    Raises
    ------
    InvalidInputError
        If a value is out of range, or options do not go together.
    """

    strategy: str = "equity"
    head: Head = "auto"
    loss: str | None = None
    loss_settings: Mapping[str, Any] | None = None
    init: Init = "auto"
    finish: Finish = "auto"
    finish_weight: float = 2.0
    layer: int | None = None
    layer_method: Literal["interchange", "propensity_increment", "middle"] = "interchange"
    r: int = 8
    lora_alpha: int = 16
    lora_dropout: float = 0.0
    classes: Sequence[str] | None = None
    split: str | None = None
    validation_split: str | None = None
    test_split: str | None = None
    split_column: str | None = None
    validation_size: float = 0.1
    test_size: float = 0.2
    drop_missing: bool = False
    max_bad_share: float = 0.01
    epochs: float = 3.0
    max_steps: int | None = None
    batch_size: int = 16
    accumulate: int = 1
    learning_rate: float | None = None
    warmup: float = 0.1
    weight_decay: float = 0.0
    patience: int | None = None
    max_length: int | None = None
    template: str | None = None
    dtype: str | None = None
    device: str | None = None
    quantization: Literal["8bit", "4bit"] | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    gradient_checkpointing: bool = False
    before: bool = True
    min_cell: int = 10
    n_boot: int = 2_000
    random_state: int = 0

    def __post_init__(self) -> None:
        check_objective_name("strategy", self.strategy, where=WHERE)
        if self.loss is not None:
            check_objective_name("loss", self.loss, where=WHERE)
        check_choice("head", self.head, get_args(Head), where=WHERE)
        check_choice("init", self.init, get_args(Init), where=WHERE)
        check_choice("finish", self.finish, get_args(Finish), where=WHERE)
        check_real("finish_weight", self.finish_weight, where=WHERE, low=0, high=1e6)
        methods = ("interchange", "propensity_increment", "middle")
        check_choice("layer_method", self.layer_method, methods, where=WHERE)
        for name in ("r", "lora_alpha", "batch_size", "accumulate"):
            check_count(name, getattr(self, name), where=WHERE)
        for name in ("max_steps", "patience", "max_length"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), where=WHERE)
        for name in ("random_state", "layer"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), where=WHERE, low=0)
        check_count("n_boot", self.n_boot, where=WHERE, low=100)
        self._check_shares()
        if self.learning_rate is not None:
            check_real("learning_rate", self.learning_rate, where=WHERE, low=0)
        if self.loss_settings is not None:
            plain_json(dict(self.loss_settings), name="loss_settings", where=WHERE)
        if self.layer is not None and self.spread != "one_layer":
            raise InvalidInputError(
                f"`layer` of `{WHERE}` is the one layer of strategy 'intermediate', but the "
                f"strategy is {self.strategy!r}. Leave one of them out."
            )
        if self.init not in ("auto", "default") and self.spread in ("all", "norms"):
            raise InvalidInputError(
                f"`init` of `{WHERE}` starts LoRA, and strategy {self.strategy!r} has none, got "
                f"{self.init!r}. Leave it out."
            )

        if self.finish == "class_means" and self.spread == "all":
            raise InvalidInputError(
                f"`finish` of `{WHERE}` joins a classification head that PEFT trains, and strategy "
                "'full' has none, got 'class_means'. Leave it out."
            )

    def _check_shares(self) -> None:
        check_real("epochs", self.epochs, where=WHERE, low=0)
        for name in (
            "lora_dropout",
            "warmup",
            "validation_size",
            "test_size",
            "weight_decay",
            "max_bad_share",
        ):
            check_real(name, getattr(self, name), where=WHERE, low=0, high=1)
        if self.epochs == 0 and self.max_steps is None:
            raise InvalidInputError(f"`epochs` of `{WHERE}` must be more than 0, got 0.")
        if not 0 < self.test_size < 1 or self.validation_size + self.test_size >= 1:
            raise InvalidInputError(
                f"`test_size` and `validation_size` of `{WHERE}` must be shares that leave rows to "
                f"train on, and rows to judge, got {self.test_size:g} and {self.validation_size:g}."
            )
        if self.split_column is not None and (self.test_split or self.validation_split):
            raise InvalidInputError(
                f"`split_column` of `{WHERE}` and `test_split` or `validation_split` say the same "
                "thing twice. Leave one of them out."
            )

    @property
    def spread(self) -> Spread:
        """Which weights train."""
        return _OF_STRATEGY.get(self.strategy, _OF_STRATEGY["lora"])[0]

    @property
    def objective(self) -> str:
        """The name of the objective."""
        if self.loss is not None:
            return self.loss
        known = _OF_STRATEGY.get(self.strategy)
        return self.strategy if known is None else known[1]

    @property
    def start(self) -> Start:
        """How LoRA starts."""
        if self.init != "auto":
            return self.init
        return _OF_STRATEGY.get(self.strategy, _OF_STRATEGY["lora"])[2]

    @property
    def finishing(self) -> Literal["none", "class_means"]:
        """Whether the trained head is joined with class means."""
        if self.finish != "auto":
            return self.finish
        return "class_means" if self.strategy in _FINISHED else "none"

    @property
    def rate(self) -> float:
        """The largest learning rate."""
        if self.learning_rate is not None:
            return float(self.learning_rate)
        return _OF_STRATEGY.get(self.strategy, _OF_STRATEGY["lora"])[3]

    def to_dict(self) -> dict[str, Any]:
        """Return the options under their names, as JSON holds them."""
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        said["classes"] = None if self.classes is None else [str(c) for c in self.classes]
        said["loss_settings"] = None if self.loss_settings is None else dict(self.loss_settings)
        return said
