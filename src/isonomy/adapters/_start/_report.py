"""What a start did, for people and for a side file."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isonomy.adapters._start._class_means import ClassMeansHead
from isonomy.adapters._start._side_file import plain_report, write_side_file

__all__ = ["SIDE_FILE", "HeadStart", "ModuleStart", "StartReport", "few"]

SIDE_FILE = "isonomy_start.json"


@dataclass(frozen=True)
class ModuleStart:
    """How the rows of one layer's ``lora_A`` were started.

    Attributes
    ----------
    name : str
    n_tail : int
        Rows from the rare classes (their structure, or their gradient).
    n_inputs : int
        Rows from the principal directions of the layer's inputs.
    n_default : int
        Rows that the default start drew, made orthogonal to the others.
    captured : float or None
        Share of the rare classes' between / within ratio (of the gradient's squared norm)
        that the ``n_tail`` rows carry.
    reason : str or None
        Why all rows are the default's, where they are.
    """

    name: str
    n_tail: int
    n_inputs: int
    n_default: int
    captured: float | None
    reason: str | None = None


@dataclass(frozen=True)
class HeadStart:
    """How the classification head was started.

    Attributes
    ----------
    name : str
    n_rows : int
        Rows whose states it was estimated from.
    scale : float
        Factor on the discriminant's scores.
    held_out_loss : float or None
        Class-balanced cross-entropy (nats) of rows left out, at that scale.
    constant_residual : float
        What the folded constant of a head without bias misses of 1, root mean square.
    """

    name: str
    n_rows: int
    scale: float
    held_out_loss: float | None
    constant_residual: float

    @classmethod
    def of(cls, name: str, found: ClassMeansHead) -> HeadStart:
        """Return what is said of a head that was found."""
        loss = None if math.isnan(found.held_out_loss) else found.held_out_loss
        return cls(name, int(found.n_rows.sum()), found.scale, loss, found.constant_residual)

    def __str__(self) -> str:
        loss = self.held_out_loss
        said = "" if loss is None else f", held-out loss {loss:.3f} nats"
        return f"Head {self.name}: class means of {self.n_rows} rows, scale {self.scale:.3g}{said}."


@dataclass(frozen=True)
class StartReport:
    """What `bias_aware_start` read, and what it wrote where.

    Attributes
    ----------
    init : str
        "tail_structure", "tail_gradient", or "default" where it fell back.
    adapter_name : str
    tail : tuple of str
        The rare classes.
    missing : tuple of str
        Classes without a row in the draw.
    n_rows : int
        Rows of the draw that the directions come from.
    n_read : int
        Rows that the loader yielded.
    rows_per_class : tuple of int
        Of the draw, in the order of the codes.
    modules : tuple of ModuleStart
    head : HeadStart or None
        None where the head was kept.
    fell_back : bool
        Whether ``lora_A`` keeps its default start everywhere.
    reason : str or None
        Why it does.
    settings : dict
        Every setting of the call that bears on the result.
    seconds : float
        Wall time.
    """

    init: str
    adapter_name: str
    tail: tuple[str, ...]
    missing: tuple[str, ...]
    n_rows: int
    n_read: int
    rows_per_class: tuple[int, ...]
    modules: tuple[ModuleStart, ...]
    head: HeadStart | None
    fell_back: bool
    reason: str | None
    settings: dict[str, Any]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, ready for JSON."""
        return plain_report("start", self)

    def save_start(self, path: str | os.PathLike[str]) -> Path:
        """Write the report beside an adapter, as ``isonomy_start.json``; return its path.

        ``adapter_config.json`` is not touched: plain PEFT loads the folder as before.

        Parameters
        ----------
        path : str or path-like
            The adapter's folder.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        return write_side_file(path, SIDE_FILE, self.to_dict())

    def __str__(self) -> str:
        lines = [self._first_line()]
        if self.missing:
            lines.append(f"No row in the draw: {few(self.missing)}.")
        if self.head is not None:
            lines.append(str(self.head))
        lines += [_line(module) for module in self.modules]
        return "\n".join(lines)

    def _first_line(self) -> str:
        if self.fell_back:
            return f"Default start of adapter {self.adapter_name!r}: {self.reason}"
        started = sum(module.reason is None for module in self.modules)
        return (
            f"{self.init} start of adapter {self.adapter_name!r}: {started} of "
            f"{len(self.modules)} modules from {self.n_rows} rows ({self.n_read} read), "
            f"{len(self.tail)} rare classes ({few(self.tail)}), {self.seconds:.1f} s."
        )


def _line(module: ModuleStart) -> str:
    if module.reason is not None:
        return f"  {module.name}: default start, as {module.reason}"
    parts = [(module.n_tail, "tail"), (module.n_inputs, "inputs"), (module.n_default, "default")]
    shown = ", ".join(f"{n} {what}" for n, what in parts if n)
    share = "" if module.captured is None else f" ({module.captured:.0%} of the tail's structure)"
    return f"  {module.name}: {shown}{share}"


def few(names: tuple[str, ...]) -> str:
    """Return the first names with commas between."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
