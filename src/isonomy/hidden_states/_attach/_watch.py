"""Watch the passes through one model: what goes in, whose rows, and whether it generates."""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from isonomy.hidden_states._attach._recompute import Recomputed, checkpointed_above
from isonomy.hidden_states._attach._step import Step

if TYPE_CHECKING:
    from isonomy.hidden_states._attach._groups import BatchGroups
    from isonomy.hidden_states._attach._steering import Steering

__all__ = ["Watch", "forget_compiled", "is_attached", "watch_of"]

_INPUTS = ("input_ids", "inputs_embeds", "pixel_values", "input_values", "input_features")
_NEED_PAST = ("prompt", "generated", "cls")

_watches: WeakKeyDictionary[nn.Module, Watch] = WeakKeyDictionary()


def watch_of(model: nn.Module) -> Watch:
    """Return the one watch of an unwrapped model; nested attachments share it."""
    if model not in _watches:
        _watches[model] = Watch()
    return _watches[model]


def is_attached(model: nn.Module) -> bool:
    """Whether anything is attached to an unwrapped model now."""
    return model in _watches and _watches[model].is_busy


def forget_compiled() -> None:
    """Make ``torch.compile`` look at the model again.

    Compiled code does not notice hooks that come or go: without this it would go on as if
    nothing had been attached.
    """
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()


class Watch:
    """The pass that is running through one model, and everything attached to it."""

    def __init__(self) -> None:
        self.step: Step | None = None
        self._clients: list[BatchGroups] = []
        self._handles: list[Any] = []
        self._before: Any = None
        self._kept: Any = 0
        self._checkpointing: list[nn.Module] = []
        self._recomputed = Recomputed(self)
        self._noted: list[Steering] | None = None
        self._replayed: frozenset[int] | None = None
        self._generating: tuple[int, int | None] | None = None

    # -- coming and going

    @property
    def is_busy(self) -> bool:
        """Whether anything is attached."""
        return bool(self._clients)

    def join(self, client: BatchGroups, model: nn.Module) -> None:
        """Take ``client`` in; the first one has the model watched."""
        self._clients.append(client)
        if len(self._clients) == 1:
            try:
                self._install(model)
            except BaseException:
                self.leave(client, model)
                raise
        for steering in client.steerings:
            self._checkpointing += checkpointed_above(model, steering.spot.name)

    def leave(self, client: BatchGroups, model: nn.Module) -> None:
        """Let ``client`` go; with the last one every trace is removed from the model."""
        self._clients.remove(client)
        if not self._clients:
            self._uninstall(model)

    def _install(self, model: nn.Module) -> None:
        for module in model.modules():
            # a model may be called from outside, from a wrapper that skips its hooks, or by
            # its base alone: whatever takes part of the arguments is watched
            if hasattr(module, "config") and hasattr(module, "base_model_prefix"):
                names = list(inspect.signature(module.forward).parameters)
                hook = functools.partial(self._enter, names)
                self._handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
                self._handles.append(module.register_forward_hook(self._leave))
        if callable(getattr(model, "generate", None)):
            self._before = vars(model).get("generate")
            model.generate = self._watched(model.generate)

    def _uninstall(self, model: nn.Module) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if "generate" in vars(model):
            del model.generate
            if self._before is not None:
                model.generate = self._before
        self._recomputed.restore()
        self._checkpointing.clear()
        self.step = None

    # -- a pass begins

    def _enter(self, names: list[str], module: Any, args: Any, kwargs: Any) -> None:
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        tensor = next((given[n] for n in _INPUTS if given.get(n) is not None), None)
        if tensor is None:
            return
        text = given.get("input_ids") is not None or given.get("inputs_embeds") is not None
        n_tokens = tensor.shape[1] if text else None
        mask = given.get("attention_mask")
        generating = self._generating
        if "logits_to_keep" in names:  # a base model within does not know of it
            self._kept = given.get("logits_to_keep", 0)
        step = Step(
            attention_mask=mask if text else None,
            input_ids=given.get("input_ids"),
            batch=tensor.shape[0],
            n_tokens=n_tokens,
            past=self._past(given.get("past_key_values"), mask, n_tokens),
            prompt_length=None if generating is None else generating[1],
            kept=self._kept,
        )
        n_prompts = None if generating is None else generating[0]
        for client in self._clients:
            client.fill(step, n_prompts)
        self.step = step
        self._recomputed.replace(self._checkpointing)

    def _leave(self, module: Any, args: Any, output: Any) -> None:
        for client in self._clients:  # not called for a pass that failed
            client.passed = True

    def _past(self, cache: Any, mask: Any, n_tokens: int | None) -> int:
        """Return the tokens in the cache, if anything depends on them: asking may cost a wait."""
        ask = getattr(cache, "get_seq_length", None)
        if ask is None:
            return 0
        wanted = any(c.positions in _NEED_PAST or callable(c.positions) for c in self._clients)
        chunk = self._generating is not None and n_tokens != 1
        four = n_tokens != 1 and mask is not None and getattr(mask, "ndim", 4) == 4
        return int(ask()) if wanted or chunk or four else 0

    # -- generation

    def _watched(self, generate: Any) -> Any:
        @functools.wraps(generate)
        def watched(*args: Any, **kwargs: Any) -> Any:
            prompts, n_prompts, length = _prompts(args, kwargs)
            for client in self._clients:
                client.check(n_prompts)
                client.check_texts(prompts)
            before, self._generating = self._generating, (n_prompts, length)
            try:
                return generate(*args, **kwargs)
            finally:
                self._generating = before

        return watched

    # -- a pass is computed again, for its gradient

    def is_live(self, steering: Steering) -> bool:
        """Whether ``steering`` belongs to the pass that is running."""
        if self._noted is not None:
            self._noted.append(steering)
        return self._replayed is None or id(steering) in self._replayed

    @contextmanager
    def noting(self, acted: list[Steering]) -> Iterator[None]:
        """Note in ``acted`` which steerers act."""
        before, self._noted = self._noted, acted
        try:
            yield
        finally:
            self._noted = before

    @contextmanager
    def replaying(self, step: Step | None, steerings: list[Steering]) -> Iterator[None]:
        """Run a part of an earlier pass again, with what was attached then and nothing else."""
        before = self.step, self._replayed, self._noted
        again = [copy.copy(steering) for steering in steerings]
        self.step, self._replayed = step, frozenset(id(a) for a in again)
        self._noted = None
        handles = [a.spot.hook(a) for a in again]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self.step, self._replayed, self._noted = before


def _prompts(args: Any, kwargs: Any) -> tuple[Any, int, int | None]:
    """Return the prompts' ids (or None), their number and their length with padding."""
    names = ("inputs", "input_ids", "inputs_embeds")
    given = (*args[:1], *(kwargs.get(name) for name in names))
    prompts = next((p for p in given if p is not None), None)
    if prompts is None:
        return None, 1, None  # it starts from a token of its own
    mask = kwargs.get("attention_mask")
    lengths = [t.shape[1] for t in (prompts, mask) if t is not None and t.ndim in (2, 3)]
    ids = None if prompts.ndim != 2 or prompts.is_floating_point() else prompts
    return ids, prompts.shape[0], max(lengths, default=None)
