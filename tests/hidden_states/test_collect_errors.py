"""Bad input to `collect` is one clear sentence that says which row, layer or argument."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from isonomy.errors import (
    InvalidInputError,
    MissingGroupValuesError,
    SmallerBatchWarning,
    UnknownGroupError,
)
from isonomy.hidden_states import collect
from tiny_biographies import biographies, pictures
from tiny_models import tiny

COLUMNS = {"text": "bio", "label": "job", "group": "gender"}


def run(data=None, kind="llama", model=None, **options):
    made, tokenizer = tiny(kind)
    data = biographies(12) if data is None else data
    options = {**COLUMNS, "tokenizer": tokenizer, "batch_size": 4, **options}
    return collect(made if model is None else model, data, **options)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"site": "residual", "layers": 3}, r"0 to 2, got 3"),
        ({"site": "residual", "layers": [0, -1]}, r"0 to 2, got -1"),
        ({"site": "residual"}, r"`layers` .* a block, several, or \"all\".* 0 to 2"),
        ({"site": "residual", "layers": "last"}, r"`layers` .* got 'last'"),
        ({"site": "residual", "layers": []}, "at least one block"),
        ({"layers": 1}, '`layers` .* must be left out for `site="head_input"`'),
        ({"site": "middle"}, "`site` of `collect` must be one of 'head_input'"),
        ({"positions": "all"}, "`positions` of `collect` must be one of 'last', 'mean', 'cls'"),
        ({"batch_size": 0}, "`batch_size` of `collect`"),
        ({"checkpoint_every": 0}, "`checkpoint_every` of `collect`"),
        ({"covariance": "diagonal"}, "`covariance` of `collect` must be one of 'tied', 'full'"),
        ({"rows": "csv"}, "`rows` of `collect` must be one of"),
        ({"max_length": 65}, "`max_length` of `collect` must be at most 64"),
        ({"max_length": 0}, "`max_length` of `collect`"),
        ({"tokenizer": None}, "`tokenizer` of `collect` must be a tokenizer .* got None"),
        ({"tokenizer": "gpt2"}, "`tokenizer` of `collect` must be a tokenizer .* got str"),
        ({"classes": "ab"}, "`classes` of `collect` must be a sequence of labels, got 'ab'"),
        ({"groups": 2}, "`groups` of `collect` must be a sequence of labels, got 2"),
        ({"groups": ["F", None]}, "`groups` of `collect` must be strings, .* got None"),
        ({"classes": [1, True]}, r"`classes` .* all of one kind, got \[1, True\]"),
        ({"positions": lambda mask, ids: None}, "`positions` must be a function .* got None"),
        ({"dtype": "bfloat16"}, "`dtype` of `collect` is for models loaded by name"),
        ({"quantization": "8bit"}, "`quantization` of `collect` is for models loaded by name"),
        ({"label": "work"}, "no column 'work'; it has 'bio', 'job', 'gender'"),
    ],
)
def test_a_wrong_argument_is_named(options, match):
    with pytest.raises(InvalidInputError, match=match):
        run(**options)


@pytest.mark.parametrize(
    ("column", "value", "error", "match"),
    [
        ("bio", "", InvalidInputError, r"Row 7 .* no text in 'bio': got ''"),
        ("bio", "a\ud800", InvalidInputError, r"Row 7 .* a text that is not Unicode"),
        ("bio", 3, InvalidInputError, r"Row 7 .* a string as its text, got int"),
        ("job", None, InvalidInputError, r"Row 7 .* no label in 'job'"),
        ("gender", None, MissingGroupValuesError, r"Row 7 .* no group in 'gender'"),
    ],
)
def test_a_bad_row_is_named(column, value, error, match):
    data = biographies(12)
    data[column][7] = value
    with pytest.raises(error, match=match):
        run(data)


def test_a_text_without_tokens_is_named():
    _, tokenizer = tiny("gpt2")
    from tokenizers import normalizers

    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("~", "")
    data = biographies(12)
    data["bio"][5] = "~~"
    with pytest.raises(InvalidInputError, match="Row 5 .* without any token: '~~'"):
        run(data, kind="gpt2", tokenizer=tokenizer)


def test_classes_and_groups_fixed_in_advance_refuse_others_by_row():
    data = biographies(12)
    data["job"] = ["nurse"] * 9 + ["poet"] * 3
    with pytest.raises(InvalidInputError, match="Row 9 .* 'poet', .* fixed `classes` .'nurse'"):
        run(data, classes=["nurse"])
    data["gender"] = ["F", "M", "X"] * 4
    with pytest.raises(UnknownGroupError, match="Row 2 .* 'X', .* fixed `groups` .'F', 'M'"):
        run(data, groups=["F", "M"])


def test_fixed_labels_may_be_an_array_and_name_one_twice(tmp_path):
    data = biographies(12)
    data["job"] = [0, 1] * 6
    found = run(
        data, classes=np.array([1, 0, 1]), groups=np.array(["M", "F"]), output=tmp_path,
        checkpoint_every=1,
    )  # fmt: skip
    assert found.classes == (0, 1) and found.n_rows == 12


@pytest.mark.parametrize("data", [{n: [] for n in COLUMNS.values()}, iter(())])
def test_no_rows_are_refused(data):
    with pytest.raises(InvalidInputError, match=r"`data` passed to `collect` .*rows"):
        run({"bio": [], "job": [], "gender": []} if isinstance(data, dict) else data)


@pytest.mark.parametrize(("site", "layers", "named"), [
    ("residual", [0, 1], "of layer 1 at 'residual'"), ("head_input", None, "at 'head_input'"),
])  # fmt: skip
def test_activations_that_are_not_finite_name_layer_batch_and_rows(site, layers, named):
    model, tokenizer = tiny("llama")
    token = tokenizer("robots", add_special_tokens=False)["input_ids"][0]

    def poison(module, args, output):
        if (args[0] == token).any():
            poison.armed = (args[0] == token).any(dim=1)

    def spoil(module, args, output):
        if getattr(poison, "armed", None) is not None:
            output[poison.armed] = float("inf")
            poison.armed = None

    model.model.embed_tokens.register_forward_hook(poison)
    model.model.layers[1].register_forward_hook(spoil)
    data = {"bio": ["a nurse"] * 12, "job": [1] * 12, "gender": ["F"] * 12}
    data["bio"][6] = "robots"
    with pytest.raises(InvalidInputError, match=named + r".* batch 2 \(rows 6 of `data`\)"):
        collect(model, data, **COLUMNS, tokenizer=tokenizer, batch_size=4, site=site, layers=layers)


def test_a_function_is_refused_where_tokens_are_pooled_and_its_weights_are_checked():
    with pytest.raises(InvalidInputError, match="`positions`"):
        run(kind="bert", positions=lambda mask, ids: mask)
    with pytest.raises(InvalidInputError, match="finite, at least 0 and not all 0"):
        run(positions=lambda mask, ids: mask * 0)
    with pytest.raises(InvalidInputError, match="`positions`"):
        run(positions=lambda mask, ids: -mask)


def test_a_model_of_two_towers_is_refused():
    text, vision = tiny("clip_text")[0].config, tiny("clip_vision")[0].config
    config = transformers.CLIPConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8
    )
    both = transformers.CLIPModel(config)
    with pytest.raises(InvalidInputError, match="model.vision_model"):
        run(model=both, site="residual", layers=0)


def test_pictures_need_their_processor_and_can_be_opened():
    model, processor = tiny("clip_vision")
    with pytest.raises(InvalidInputError, match="an image processor for a CLIPVisionModel"):
        run(pictures(4), model=model)
    data = pictures(4)
    data["bio"][2] = b"no picture"
    with pytest.raises(InvalidInputError, match="Row 2 .* must hold a picture"):
        run(data, model=model, tokenizer=processor)
    data["bio"][2] = 7
    with pytest.raises(InvalidInputError, match="Row 2 .* got int"):
        run(data, model=model, tokenizer=processor)
    with pytest.raises(InvalidInputError, match="`tokenizer` of `collect` must be a tokenizer"):
        run(tokenizer=processor)


def test_hooks_and_mode_are_undone_after_an_error():
    model, tokenizer = tiny("llama")
    model.train()
    data = biographies(12)
    with pytest.raises(ZeroDivisionError):
        collect(
            model, data, **COLUMNS, tokenizer=tokenizer, site="residual", layers="all",
            progress=lambda *call: 1 // 0,
        )  # fmt: skip
    assert all(module.training for module in model.modules())
    assert not any(block._forward_hooks for block in model.model.layers)


# -- out of memory ------------------------------------------------------------


def limited(model, rows):
    """Make the model run out of memory above so many rows at once."""

    def refuse(module, args, kwargs=None):
        if len(args[0]) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    model.get_input_embeddings().register_forward_pre_hook(refuse)
    return model


def test_out_of_memory_halves_the_batches_once_and_says_so():
    model, tokenizer = tiny("llama")
    plain = collect(model, biographies(20), **COLUMNS, tokenizer=tokenizer, rows="memory")
    with pytest.warns(SmallerBatchWarning, match="batch 0 of `collect`.* 6 rows run in halves"):
        halved = collect(
            limited(model, 3), biographies(20), **COLUMNS, tokenizer=tokenizer, batch_size=6,
            rows="memory",
        )  # fmt: skip
    torch.testing.assert_close(halved.rows()[0], plain.rows()[0], rtol=1e-4, atol=1e-5)
    assert halved.n_rows == 20


def test_out_of_memory_twice_is_an_error():
    model, tokenizer = tiny("llama")
    with (
        pytest.warns(SmallerBatchWarning),
        pytest.raises(InvalidInputError, match="also with half of `batch_size=6`"),
    ):
        collect(limited(model, 1), biographies(20), **COLUMNS, tokenizer=tokenizer, batch_size=6)


def test_other_errors_of_the_model_pass_through():
    model, tokenizer = tiny("llama")

    def fail(module, args):
        raise RuntimeError("device-side assert")

    model.get_input_embeddings().register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="device-side assert"):
        collect(model, biographies(4), **COLUMNS, tokenizer=tokenizer)
