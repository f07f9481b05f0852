"""``BiasAwareTrainer``: the Trainer of transformers with a loss that knows class counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import EarlyStoppingCallback, TrainerCallback

from isonomy.adapters._train._batch import logits_of, part_batch, without_loss
from isonomy.adapters._train._by_length import LengthSamplingTrainer
from isonomy.adapters._train._group_metrics import GroupMetrics
from isonomy.adapters._train._statistics_file import load_statistics, save_statistics
from isonomy.adapters._train._step import MicroBatch, Step, check_weights, gradient_error
from isonomy.adapters._train._task import objective_for, read_task
from isonomy.adapters.arguments import BiasAwareArguments
from isonomy.errors import InvalidInputError

if TYPE_CHECKING:
    from isonomy.adapters.losses import Objective

__all__ = ["BiasAwareTrainer"]

WHERE = "BiasAwareTrainer"


class BiasAwareTrainer(LengthSamplingTrainer):
    """Train a classifier whose loss knows how many rows each class has.

    Adds to ``transformers.Trainer`` the objective, its running statistics (summed over
    processes, saved and restored with every checkpoint) and metrics by class group. Loop,
    optimiser, schedules, callbacks, logging and resuming are the Trainer's own.

    Parameters
    ----------
    model : module
        A sequence or image classification model, plain or wrapped by PEFT, ``LabelWords`` or
        ``ClassNamePrompts``: ``forward(**inputs)`` returns ``.logits`` (n, n_classes).
    args : BiasAwareArguments
        Default: those of strategy "equity", in the folder ``tmp_trainer``.
    train_dataset : data set, optional
        Rows with label codes in ``labels`` (or ``label``) and, where
        ``args.group_column`` is a column, group codes (-1: not known). A label of -100 is
        none. Labels are read once at the start, to check and to count them.
    eval_dataset : data set or mapping of them, optional
    objective : Objective, optional
        The loss; by default ``make_objective(args.objective_name, ...)``.
    compute_metrics : callable, optional
        Your own metrics; they are added to those of the class groups. It is given label ids
        without groups.
    preprocess_logits_for_metrics : callable, optional
        As in the Trainer; it is given labels without groups.
    **trainer_arguments
        Passed on to ``transformers.Trainer``: ``data_collator``, ``processing_class``,
        ``model_init``, ``callbacks``, ``optimizers``, ...

    Attributes
    ----------
    objective : Objective
    task : Task
        ``classes``, ``class_counts``, ``groups`` and ``multi_label``, as read at the start.

    Raises
    ------
    InvalidInputError
        If label codes are outside the classes, a class has no row and the objective needs
        one, the head has another size than the classes, or ``output_dir`` holds another run.
    TrainingStoppedError
        From ``train``, if a loss or a gradient became NaN or infinite, before the optimiser
        moves, or a weight did, before it is saved: checkpoints are the last good ones.

    Warns
    -----
    RareClassWarning
        If a class has one training row or none.

    Notes
    -----
    With S labelled rows in the micro-batches of all processes of a step, the loss is the sum
    of ``objective.per_sample`` divided by S, and statistics move once a step by sums over all
    of them: accumulation over k batches, or over P processes, gives what one batch of all
    rows gives, to rounding. (Where rows do not part evenly, accelerate repeats some.)
    The model's own loss is never computed: labels do not reach ``forward``.

    An evaluation returns ``eval_`` + "accuracy", "macro_f1"; "head_accuracy",
    "medium_accuracy", "tail_accuracy" (mean recall in the thirds of the classes by training
    rows), "head_tail_gap", "worst_class_group_accuracy" (the least of the three; the mean
    recall where all counts are equal); "accuracy_group_<name>" and "worst_group_accuracy"
    where rows have groups. All can be ``metric_for_best_model``.

    With ``train_sampling_strategy="group_by_length"`` a batch holds rows of like length, in an
    order that depends on seed and epoch alone; a data set may tell its lengths by a method
    ``lengths()``.

    Checkpoints are written beside their place and renamed, so that a kill while saving leaves
    the earlier ones whole. A run resumed with ``train(resume_from_checkpoint=True)`` ends in
    the weights of one that was never interrupted, to the bit where the device computes the
    same bits twice.

    What it does not promise: it is tested on CPU in one process and in two under DDP. FSDP,
    DeepSpeed, tensor, context and sequence parallelism are unverified.

    Examples
    --------
    >>> BiasAwareTrainer(model, args, train_dataset=rows).train()  # doctest: +SKIP
    """

    # the loss is a sum divided by the rows of the whole step
    loss_is_scaled_for_ga = True
    label_names: list[str]
    _signature_columns: list[str] | None

    def __init__(
        self,
        model: Any = None,
        args: BiasAwareArguments | None = None,
        *,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        objective: Objective | None = None,
        compute_metrics: Callable[..., Mapping[str, Any]] | None = None,
        preprocess_logits_for_metrics: Callable[[Any, Any], Any] | None = None,
        **trainer_arguments: Any,
    ) -> None:
        args = BiasAwareArguments("tmp_trainer") if args is None else args
        _check_arguments(args, trainer_arguments)
        own = preprocess_logits_for_metrics
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            compute_metrics=compute_metrics,
            preprocess_logits_for_metrics=None if own is None else _without_groups(own),
            **trainer_arguments,
        )
        # earlier versions of transformers decide by these two whether the loss is scaled, and
        # evaluate only models whose forward names its labels
        self.model_accepts_loss_kwargs = True
        self.label_names = self.label_names or ["labels"]
        self.task = read_task(args, self.model, train_dataset, eval_dataset, objective)
        self.objective = objective_for(args, self.task) if objective is None else objective
        self.compute_metrics = GroupMetrics(self.task, own=compute_metrics)
        self._step = Step(self.objective, self.accelerator)
        self._initial = self._begun = self.objective.state_dict()
        self.add_callback(_CommitStatistics(self._step))
        if args.worst_group_patience is not None:
            self.add_callback(EarlyStoppingCallback(args.worst_group_patience))

    # ---- one step of the optimiser

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | None]:
        """Fetch the micro-batches of a step and count their labelled rows over all processes.

        Parameters
        ----------
        epoch_iterator : iterator
        num_batches : int
        device : torch.device

        Returns
        -------
        batches, n_rows
        """
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        done = self.state.global_step / max(1, self.state.max_steps)
        self.objective.set_progress(min(1.0, done))
        return batches, self._step.count(batches)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> None:
        """Leave the count to ``get_batch_samples``: rows, not tokens or entries of a matrix."""

    def compute_loss(
        self,
        model: Any,
        inputs: Mapping[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Return the batch's share of the mean loss of the step.

        Parameters
        ----------
        model : module
        inputs : mapping
            A batch; labels, groups and row numbers do not reach the model.
        return_outputs : bool, default False
            Return the model's outputs too.
        num_items_in_batch : int or Tensor, optional
            Labelled rows of the step, over all processes. By default those of the batch.

        Returns
        -------
        Tensor () or (Tensor, outputs)
        """
        batch = part_batch(inputs, self.args)
        outputs = model(**batch.inputs)
        logits = logits_of(outputs)
        losses = self.objective.per_sample(logits, batch.labels, batch.groups)
        if model.training:
            self.objective.observe(logits.detach(), batch.labels, batch.groups)
            self._step.add(MicroBatch(losses.detach(), logits.detach(), batch.rows))
        else:
            num_items_in_batch = None  # an evaluation averages batch by batch
        loss = self._step.loss(losses, batch.labels, num_items_in_batch)
        return (loss, without_loss(outputs)) if return_outputs else loss

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Run a micro-batch forward and back; after the last one see that losses are finite.

        Parameters
        ----------
        model : module
        inputs : dict
        num_items_in_batch : int or Tensor, optional

        Returns
        -------
        Tensor ()

        Raises
        ------
        TrainingStoppedError
            If a loss of this step is NaN or infinite, on any process.
        """
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        if self.accelerator.sync_gradients:
            self._step.close(global_step=self.state.global_step)
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        # with a scaler infinite gradients are usual: it skips the step and lowers its scale
        if norm is not None and getattr(self.accelerator, "scaler", None) is None:
            value = float(norm)
            if not math.isfinite(value):
                raise gradient_error(self.state.global_step, value)
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, and add the values of the objective to those of training.

        Parameters
        ----------
        logs : dict
        start_time : float, optional
        """
        if "loss" in logs:
            logs.update({f"objective_{k}": v for k, v in self.objective.values().items()})
        super().log(logs, start_time)

    # ---- data and evaluation

    def _set_signature_columns_if_needed(self) -> None:
        if self._signature_columns is None:
            super()._set_signature_columns_if_needed()
            ours = (self.args.group_column, self.args.row_column)
            known: list[str] = self._signature_columns or []
            self._signature_columns = known + [name for name in ours if name is not None]

    def prediction_step(
        self,
        model: Any,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Any, Any, Any]:
        """Evaluate one batch; group codes travel beside the labels.

        Parameters
        ----------
        model : module
        inputs : dict
        prediction_loss_only : bool
        ignore_keys : list of str, optional

        Returns
        -------
        loss, logits, labels
            ``labels`` is (labels, groups) where the batch has groups.
        """
        column = self.args.group_column
        groups = None if column is None else inputs.get(column)
        if inputs.get("labels") is None:  # then no loss takes the columns out
            ours = (column, self.args.row_column)
            inputs = {name: value for name, value in inputs.items() if name not in ours}
        loss, logits, labels = super().prediction_step(
            model, inputs, prediction_loss_only, ignore_keys=ignore_keys
        )
        if labels is not None and groups is not None:
            labels = (labels, self._prepare_inputs({"groups": groups})["groups"])
        return loss, logits, labels

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Run the Trainer's evaluation; label ids of the result are labels alone.

        Parameters
        ----------
        *args, **kwargs
            As in ``transformers.Trainer.evaluation_loop``.

        Returns
        -------
        EvalLoopOutput
        """
        output = super().evaluation_loop(*args, **kwargs)
        if isinstance(output.label_ids, tuple):
            output = output._replace(label_ids=output.label_ids[0])
        return output

    def train(
        self,
        resume_from_checkpoint: str | bool | None = None,
        trial: Any = None,
        ignore_keys_for_eval: list[str] | None = None,
    ) -> Any:
        """Train, from the start or from a checkpoint.

        Parameters
        ----------
        resume_from_checkpoint : str or bool, optional
            The folder of a checkpoint; True: the newest whole one in ``args.output_dir``.
        trial : optional
            Of a search for hyperparameters.
        ignore_keys_for_eval : list of str, optional
            Outputs of the model that evaluations leave out.

        Returns
        -------
        TrainOutput

        Raises
        ------
        InvalidInputError
            If ``output_dir`` is not empty, or there is no whole checkpoint of this run.
        TrainingStoppedError
            If a loss, a gradient or a weight became NaN or infinite.
        """
        folder = self._start_folder(resume_from_checkpoint, is_search=trial is not None)
        self.objective.load_state_dict(self._initial)
        if folder is not None:
            load_statistics(folder, self.objective, self.task)
        self._begun = self.objective.state_dict()
        return super().train(
            resume_from_checkpoint=None if folder is None else str(folder),
            trial=trial,
            ignore_keys_for_eval=ignore_keys_for_eval,
        )

    def _inner_training_loop(self, *args: Any, **kwargs: Any) -> Any:
        # it starts anew with smaller batches where memory ran out
        self.objective.load_state_dict(self._begun)
        return super()._inner_training_loop(*args, **kwargs)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        check_weights(model, self.state.global_step)
        super()._save_checkpoint(model, trial)

    def _write_beside(self, checkpoint: Path) -> None:
        at = self.state.global_step
        save_statistics(checkpoint, self.objective, self.task, global_step=at)


class _CommitStatistics(TrainerCallback):  # type: ignore[misc]
    """Move the running statistics when the optimiser has moved, before anything is saved."""

    def __init__(self, step: Step) -> None:
        self.step = step

    def on_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        self.step.commit()


def _check_arguments(args: Any, trainer_arguments: Mapping[str, Any]) -> None:
    if not isinstance(args, BiasAwareArguments):
        raise InvalidInputError(
            f"`args` of `{WHERE}` must be BiasAwareArguments, got {type(args).__name__}. They take "
            "all arguments of TrainingArguments."
        )
    if trainer_arguments.get("compute_loss_func") is not None:
        raise InvalidInputError(
            f"`compute_loss_func` of `{WHERE}` must be None, since the objective is the whole "
            "loss. Pass `objective=`."
        )


def _without_groups(own: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def preprocess(logits: Any, labels: Any) -> Any:
        return own(logits, labels[0] if isinstance(labels, Sequence) else labels)

    return preprocess
