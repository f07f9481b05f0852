"""Export a steerer as plain LoRA adapters that any PEFT can load."""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from isonomy.errors import FoldError
from isonomy.hidden_states._attach._steering_maps import as_steering_maps
from isonomy.hidden_states._export._adapter import Adapter, config_of, folder_names
from isonomy.hidden_states._export._card import card_text, record_text
from isonomy.hidden_states._export._folder import RECORD, new_folder
from isonomy.hidden_states._export._record import can_merge, facts_of, make_record
from isonomy.hidden_states._export._servers import verdicts
from isonomy.hidden_states._fold._layers import why_not_linear
from isonomy.hidden_states._fold._plan import Plan, check_map, make_plan, plain_model

if TYPE_CHECKING:
    from isonomy.hidden_states._model._layout import Site

__all__ = ["Exported", "export_adapters"]

_BLIND = "steered"


@dataclass(frozen=True)
class Exported:
    """What ``export_adapters`` wrote.

    Parameters
    ----------
    path : Path
        The folder that holds everything.
    adapters : mapping of group to Path
        Group -> folder of its adapter; "steered" where one map serves all.
    bias : bool
        Whether an adapter needs ``lora_bias=True``.
    merges : bool
        Whether ``merge_and_unload`` works: not into a head tied to the embedding; else
        without a bias always, with one where every edited layer has a bias of its own.
    rank : int
        The largest rank of the adapters.
    servers : tuple of str
        Servers that can serve all adapters.
    reasons : mapping of str to str
        Server -> why, why not, or under which option.

    Examples
    --------
    >>> Exported(Path("out"), {}, False, True, 4, ("peft",), {}).rank
    4
    """

    path: Path
    adapters: Mapping[Hashable, Path]
    bias: bool
    merges: bool
    rank: int
    servers: tuple[str, ...]
    reasons: Mapping[str, str]


def export_adapters(
    model: Any,
    steerer: Any,
    path: str | os.PathLike[str],
    *,
    site: Site = "head_input",
    layer: int | None = None,
) -> Exported:
    """Write one plain PEFT LoRA adapter per group that acts like the hook, and return where.

    Parameters
    ----------
    model : PreTrainedModel
        The base model, untouched; weights in memory and not quantised.
    steerer : AffineMap, dict of group to AffineMap, fitted transformer, or path
        As for ``fold``. One map for all gives one adapter, "steered".
    path : str or path-like
        A new or empty folder, or an earlier export, which is replaced whole.
    site : str
        As for ``fold``: exact are the same sites.
    layer : int, optional
        0-based block; None at "head_input".

    Returns
    -------
    Exported
        Folders, rank, whether a bias is needed, and which servers can serve them.

    Raises
    ------
    FoldError
        Where ``fold`` raises it, and at "residual" where the bias of a norm would be needed,
        which LoRA does not reach.
    OutputError
        If ``path`` cannot be written; nothing is left half-written.

    Notes
    -----
    For the map x -> M x + b with M - I = U V' and a layer with weight W and bias c, an
    adapter adds ``B A x`` and, with ``lora_bias=True``, a constant::

        the layer reads x:   A = V',   B = W U,  constant W b
        the layer makes x:   A = V' W, B = U,    constant (M - I) c + b

    of rank r: that of M - I, or the layer's width where that is smaller. ``lora_alpha`` is
    r, so that the scale is 1; factors are computed in float64 and stored in float32.

    Whether a bias is needed is not a property of the map alone: where a layer reads x, an
    offset in the null space of W is not seen and no bias is written; where a layer makes x
    and has a bias c, even a map without an offset needs one, unless M c = c. A translation
    is a bias and nothing else: its adapter has rank 1, filled with zeros. A bias loads in
    PEFT; some servers refuse it, and it merges only into a layer that has a bias.

    The folder holds one folder per adapter with PEFT's two files and nothing foreign in
    them, ``isonomy_adapters.json`` with provenance and servers, and a card. An adapter is
    right for the very weights it was computed from, whose SHA-256 is in that file.

    What it does not promise: a choice of tokens. An adapter acts at every token, like
    ``fold``; a batch with several groups needs one adapter per row, as servers do it.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> from isonomy.distributions import AffineMap
    >>> sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    >>> model = LlamaForCausalLM(LlamaConfig(vocab_size=11, num_hidden_layers=1, **sizes))
    >>> eraser = AffineMap.low_rank(-np.eye(8)[:, :1], np.eye(8)[:, :1], np.zeros(8))
    >>> made = export_adapters(model, eraser, tempfile.mkdtemp())
    >>> made.rank, made.bias, list(made.adapters)
    (1, False, ['steered'])
    """
    plain = plain_model(model, where="export_adapters")
    plan = make_plan(plain, site, layer, where="export_adapters")
    maps = as_steering_maps(steerer, d=plan.width, where="export_adapters")
    if maps.posterior is not None:
        raise FoldError(
            "`steerer` passed to `export_adapters` must not infer the group: the map would depend "
            "on the row, and an adapter cannot. Use `attached`, or a steerer with groups='blind' "
            "or 'given'."
        )
    _check_norm(plain, plan)
    made: dict[Hashable, Adapter] = {}
    for group, affine in zip(maps.groups or (_BLIND,), maps.maps, strict=True):
        check_map(plain, plan, affine, where="export_adapters")
        made[group] = Adapter.of(plain, plan, affine)
    return _write(plain, plan, made, path, steerer=type(steerer).__name__)


def _check_norm(model: Any, plan: Plan) -> None:
    for name in plan.names:
        if why_not_linear(model.get_submodule(name)) is not None:
            raise FoldError(
                "`site` passed to `export_adapters` must be one that a linear layer makes or "
                f"reads, but {plan.site!r} of this {type(model).__name__} is made by the norm "
                f"{name!r}, which LoRA does not reach. Use `fold` or `attached`."
            )


def _write(
    model: Any,
    plan: Plan,
    made: Mapping[Hashable, Adapter],
    path: str | os.PathLike[str],
    *,
    steerer: str,
) -> Exported:
    from safetensors.torch import save_file

    folders = folder_names(made)
    facts = facts_of(model, plan, made)
    found = verdicts(facts)
    merges = can_merge(model, plan, facts)
    record = make_record(model, plan, made, folders, found, merges=merges, steerer=steerer)
    with new_folder(path, where="export_adapters") as folder:
        for group, adapter in made.items():
            home = folder / folders[group]
            home.mkdir()
            save_file(adapter.tensors(), home / "adapter_model.safetensors", {"format": "pt"})
            config = json.dumps(config_of(model, plan, adapter), indent=2, sort_keys=True)
            (home / "adapter_config.json").write_text(config + "\n", encoding="utf-8")
        (folder / RECORD).write_text(record_text(record), encoding="utf-8")
        (folder / "README.md").write_text(card_text(record), encoding="utf-8")
    return Exported(
        path=Path(path),
        adapters=MappingProxyType({group: Path(path) / name for group, name in folders.items()}),
        bias=facts.bias,
        merges=merges,
        rank=facts.rank,
        servers=tuple(name for name, one in found.items() if one.serves),
        reasons=MappingProxyType({name: one.reason for name, one in found.items()}),
    )
