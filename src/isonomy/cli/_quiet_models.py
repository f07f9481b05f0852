"""Keep libraries that load models from writing over a command's own progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from isonomy.errors import MissingExtraError

__all__ = ["check_llm_extra", "quiet_models"]

NEEDED = ("torch", "transformers", "peft", "accelerate", "datasets")


def check_llm_extra(command: str) -> None:
    """Raise before any work is done if models cannot be loaded.

    Raises
    ------
    MissingExtraError
        If a library of the extra ``llm`` is not installed.
    """
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        raise MissingExtraError(
            f"{command} needs {', '.join(absent)}: install the extra `llm` with "
            "`pip install 'isonomy[llm]'`."
        )


@contextmanager
def quiet_models() -> Iterator[None]:
    """Silence transformers' and datasets' bars and remarks inside the block."""
    import transformers

    import datasets

    level = transformers.logging.get_verbosity()
    bars = transformers.logging.is_progress_bar_enabled()
    data_bars = datasets.are_progress_bars_disabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(level)
        if bars:
            transformers.logging.enable_progress_bar()
        if not data_bars:
            datasets.enable_progress_bars()
