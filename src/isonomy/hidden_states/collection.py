"""Reduce the hidden states of a model over a data set to moments: memory stays, rows pass."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, get_args

from isonomy._atomic import PathLike
from isonomy._validation import check_choice, check_count
from isonomy.errors import InvalidInputError
from isonomy.hidden_states._collect._batching import make_batcher
from isonomy.hidden_states._collect._collected import Collected
from isonomy.hidden_states._collect._reduce import LayerPass, accepted_inputs
from isonomy.hidden_states._collect._row_store import ROW_KINDS, RowKind
from isonomy.hidden_states._collect._run import Progress, Run, Settings
from isonomy.hidden_states._collect._text_data import fixed_labels, read_examples
from isonomy.hidden_states._model._layout import Site, Spot, find_spot, n_blocks, unwrap
from isonomy.hidden_states._model._loading import Quantization, load_model_for
from isonomy.hidden_states._model._positions import Positions

__all__ = ["Collected", "collect"]

_WHERE = "collect"
_POSITIONS = ("last", "mean", "cls")


def collect(
    model: Any,
    data: Any,
    *,
    text: str,
    label: str | None = None,
    group: str | Sequence[str] | None = None,
    layers: int | Sequence[int] | str | None = None,
    site: Site = "head_input",
    positions: Positions = "last",
    tokenizer: Any = None,
    batch_size: int = 32,
    max_length: int | None = None,
    dtype: Any = None,
    device: Any = None,
    device_map: Any = None,
    quantization: Quantization | None = None,
    covariance: str = "tied",
    classes: Sequence[Hashable] | None = None,
    groups: Sequence[Hashable] | None = None,
    output: PathLike | None = None,
    rows: RowKind = "none",
    resume: bool = False,
    checkpoint_every: int = 50,
    split: str | None = None,
    progress: Progress | None = None,
) -> Collected:
    """Run a model over texts and keep the moments of its hidden states by label and group.

    Parameters
    ----------
    model : torch.nn.Module, str or path-like
        A Hugging Face encoder, decoder or CLIP tower (PEFT and ``torch.compile`` wrappers
        too), or the name or folder of one for `load_model`.
    data : object
        What `read_examples` reads: a mapping of columns, a list or any iterable of mappings,
        a pandas, polars or pyarrow frame, a ``datasets`` data set, streaming or not, CSV,
        TSV, JSON Lines or Parquet files (a path, a pattern or a folder), or the name of a
        data set on the hub. Read row by row, never held.
    text : str
        Column of the texts; of the pictures (PIL, bytes, paths) for a vision tower.
    label, group : str, optional
        Columns of the classes and of the groups; several columns, given as a list, make
        intersectional groups. Without one, all rows are ``"all"``. Numbers stay numbers.
    layers : int, sequence of int or "all", optional
        0-based blocks, all read in one pass. Needed by every site but "head_input", which
        has none.
    site : str
        "head_input" (after the final norm or pooler), "norm_output", "mlp_norm_output",
        "attention_output", "mlp_output" or "residual" (a block's own output).
    positions : "last", "mean", "cls" or callable
        Which tokens stand for a text: the last or first real one, the mean of all, or
        weights from ``(attention_mask, input_ids) -> (batch, tokens)``, at least 0, which
        are divided by their sum.
    tokenizer : tokenizer or image processor, optional
        Needed where ``model`` is a module. It is copied, never changed.
    batch_size : int
        Texts a forward pass.
    max_length : int, optional
        Tokens at which texts are cut; default the model's context, which it may not exceed.
    dtype, device, device_map, quantization : optional
        As in `load_model`; only where ``model`` is a name.
    covariance : "tied" or "full"
        One within-class covariance a group (all that steering with tied covariances and
        the baselines need), or one a cell.
    classes, groups : sequence, optional
        Fixed in advance: other values raise. By default they are found as they appear.
    output : str or path-like, optional
        Folder of the result (see `Collected.save`), and of the state of an unfinished run.
    rows : "none", "memory", "safetensors" or "parquet"
        Also keep the rows: in memory, or as shards of about 128 MiB in ``output/rows``.
    resume : bool
        Go on with the run that stopped in ``output``. Nothing there: start. Finished
        there: check the data and return it.
    checkpoint_every : int
        Batches between two states.
    split : str, optional
        Split of the data set; default "train" where there is one.
    progress : callable, optional
        Called as ``progress(text, done, total)`` with numbers of rows; ``total`` is what
        has been read so far where the data does not say.

    Returns
    -------
    Collected
        A mapping of layer to `CellMoments`; the key is None for "head_input".

    Raises
    ------
    InvalidInputError
        If an argument cannot be used, a layer or part does not exist (what does is
        listed), a row has no text or label (it is numbered from 0), an activation is NaN
        or infinite (layer and batch are named), or the run to be resumed had other data,
        model or settings.
    MissingGroupValuesError, UnknownGroupError
        If a row has no group, or one that is not among ``groups``.
    OutputError
        If ``output`` cannot be written; no file is left half-written.

    Warns
    -----
    SmallerBatchWarning
        If memory ran out once: batches run in halves from there on.

    Notes
    -----
    Rows are read in windows of 64 batches; within one, texts are sorted by length, the
    longest first, and padded on the right. Each batch becomes one vector a row and layer
    in the forward hook, then counts, means and scatters, in float64 on the device that
    made it, whatever the dtype of the model. What is held is a window of texts, one batch
    of activations and the moments: it does not grow with the rows.

    Law: batch size, padding and order change nothing beyond rounding. On one machine, a
    run that was killed and resumed gives the same bits as one that was not.

    Examples
    --------
    >>> import tokenizers, transformers
    >>> words = {"<pad>": 0, "she": 1, "he": 2, "writes": 3, "teaches": 4}
    >>> made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<pad>"))
    >>> made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    >>> tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made,
    ...                                                  pad_token="<pad>")
    >>> model = transformers.LlamaModel(transformers.LlamaConfig(vocab_size=5, hidden_size=8,
    ...     intermediate_size=8, num_hidden_layers=2, num_attention_heads=2))
    >>> data = {"bio": ["she writes", "he teaches", "he writes", "she teaches she writes"],
    ...         "job": ["writer", "teacher", "writer", "teacher"], "gender": list("FMMF")}
    >>> collected = collect(model, data, text="bio", label="job", group="gender",
    ...                     tokenizer=tokenizer, site="residual", layers="all")
    >>> list(collected), collected[1].classes, collected[1].means.shape
    ([0, 1], ('teacher', 'writer'), (2, 2, 8))
    """
    loaded = isinstance(model, str | Path)
    options = {"dtype": dtype, "device": device, "device_map": device_map}
    options["quantization"] = quantization
    name = str(model) if loaded else _name_of(model)
    _check(site, positions, covariance, rows, output, resume)
    examples = read_examples(data, text=text, label=label, group=group, split=split, where=_WHERE)
    if loaded:
        model, tokenizer = load_model_for(str(model), tokenizer, **options)
    _refuse_options(options, loaded=loaded)
    model = getattr(model, "_orig_mod", model)
    spots = _spots(model, site, layers)
    counted = None if max_length is None else check_count("max_length", max_length, where=_WHERE)
    batcher = make_batcher(
        model, tokenizer, max_length=counted, accepted=accepted_inputs(model), where=_WHERE
    )
    settings = Settings(
        text=text,
        label=label,
        group=list(examples.group),
        site=site,
        layers=[spot.layer for spot in spots],
        positions=_shown(positions),
        batch_size=check_count("batch_size", batch_size, where=_WHERE),
        max_length=getattr(batcher, "max_length", None),
        covariance=covariance,
        classes=fixed_labels(classes, name="classes", where=_WHERE),
        groups=fixed_labels(groups, name="groups", where=_WHERE),
        rows=rows,
        split=split,
    )
    run = Run(
        settings=settings,
        examples=examples,
        batcher=batcher,
        layer_pass=LayerPass(model, spots, positions),
        model_name=name,
        output=None if output is None else Path(output),
        checkpoint_every=check_count("checkpoint_every", checkpoint_every, where=_WHERE),
        progress=progress,
        where=_WHERE,
    )
    return run.collect(resume=resume)


def _check(
    site: str, positions: Any, covariance: str, rows: str, output: Any, resume: bool
) -> None:
    check_choice("site", site, get_args(Site), where=_WHERE)
    if not callable(positions):
        check_choice("positions", positions, _POSITIONS, where=_WHERE)
    check_choice("covariance", covariance, ("tied", "full"), where=_WHERE)
    check_choice("rows", rows, ROW_KINDS, where=_WHERE)
    if output is None and (resume or rows in ("safetensors", "parquet")):
        what = "`resume=True`" if resume else f'`rows="{rows}"`'
        raise InvalidInputError(
            f"{what} of `{_WHERE}` needs `output`, the folder where the run keeps its state and "
            'its rows. For rows in memory pass `rows="memory"`.'
        )
    if output is not None and rows == "memory":
        raise InvalidInputError(
            f'`rows="memory"` of `{_WHERE}` cannot go with `output`: a stopped run would lose '
            'them. Pass `rows="safetensors"` or "parquet".'
        )


def _refuse_options(options: dict[str, Any], *, loaded: bool) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given and not loaded:
        raise InvalidInputError(
            f"`{given[0]}` of `{_WHERE}` is for models loaded by name, and `model` is one already. "
            f"Call `model.to(...)` yourself, or pass the model's name."
        )


def _spots(model: Any, site: Site, layers: Any) -> list[Spot]:
    """Return the place of every layer asked for; all are found before anything runs."""
    if site == "head_input":
        if layers is not None:
            raise InvalidInputError(
                f'`layers` of `{_WHERE}` must be left out for `site="head_input"`, which stands '
                f"after all of them, got {layers!r}. For a block pass another site."
            )
        return [find_spot(model, site, None, where=_WHERE)]
    if isinstance(layers, str) and layers == "all":
        layers = range(n_blocks(model))
    if layers is None or isinstance(layers, str):
        raise InvalidInputError(
            f'`layers` of `{_WHERE}` must be a block, several, or "all" for `site="{site}"`, got '
            f"{layers!r}; the model has 0 to {n_blocks(model) - 1}."
        )
    wanted = list(layers) if isinstance(layers, Sequence | range) else _listed(layers)
    if not wanted:
        raise InvalidInputError(f"`layers` of `{_WHERE}` must name at least one block, got none.")
    return [find_spot(model, site, layer, where=_WHERE) for layer in dict.fromkeys(wanted)]


def _listed(layers: Any) -> list[Any]:
    tolist: Callable[[], Any] | None = getattr(layers, "tolist", None)
    plain = layers if tolist is None else tolist()
    return plain if isinstance(plain, list) else [plain]


def _shown(positions: Positions) -> str:
    if isinstance(positions, str):
        return positions
    return str(getattr(positions, "__qualname__", type(positions).__name__))


def _name_of(model: Any) -> str:
    inner = unwrap(getattr(model, "_orig_mod", model))
    name = getattr(getattr(inner, "config", None), "_name_or_path", "")
    return str(name or type(inner).__name__)
