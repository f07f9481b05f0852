"""`collect` from end to end: labels, lengths, memory, progress and wrappers."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import peft
import pytest
import torch

from isonomy.hidden_states import collect
from isonomy.hidden_states._collect import _batching
from tiny_biographies import biographies
from tiny_models import tiny

COLUMNS = {"text": "bio", "label": "job", "group": "gender"}


def rows_of(model, data, tokenizer, **options):
    return collect(model, data, **COLUMNS, tokenizer=tokenizer, rows="memory", **options)


# -- labels -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "kind"), [([3, 1, 3, 7], int), ([True, False, True, True], bool)]
)
def test_numbers_stay_numbers_and_booleans_booleans(labels, kind):
    model, tokenizer = tiny("gpt2")
    data = {"t": ["a b", "c", "d e f", "g"], "y": labels, "g": [1, 0, 0, 1]}
    found = collect(model, data, text="t", label="y", group="g", tokenizer=tokenizer, rows="memory")
    assert found.classes == tuple(sorted(set(labels))) and found.groups == (0, 1)
    assert {type(c) for c in found.classes} == {kind}
    X, y, groups = found.rows()
    assert y.tolist() == labels and groups.tolist() == [1, 0, 0, 1]
    assert len(X) == 4


def test_without_label_or_group_all_rows_are_of_one_cell():
    model, tokenizer = tiny("gpt2")
    found = collect(model, biographies(9), text="bio", tokenizer=tokenizer, rows="memory")
    assert found.classes == found.groups == ("all",)
    assert found[None].n_rows.tolist() == [[9]]
    assert found.rows()[1] is None and found.rows()[2] is None


def test_fixed_classes_without_rows_are_there_and_empty():
    model, tokenizer = tiny("gpt2")
    found = collect(
        model, biographies(40), **COLUMNS, tokenizer=tokenizer,
        classes=["surgeon", "professor", "nurse", "engineer"], groups=["F", "M", "X"],
    )  # fmt: skip
    assert found.classes == ("engineer", "nurse", "professor", "surgeon")
    assert found[None].n_rows[3].sum() == 0 and found[None].n_rows[:, 2].sum() == 0
    plain = collect(model, biographies(40), **COLUMNS, tokenizer=tokenizer)
    np.testing.assert_array_equal(found[None].means[:3, :2], plain[None].means)


# -- length -------------------------------------------------------------------


def test_texts_beyond_the_context_are_cut_there_and_counted():
    model, tokenizer = tiny("llama")
    data = biographies(12)
    for i in (3, 7):
        data["bio"][i] = "nurse " * 200
    found = rows_of(model, data, tokenizer)
    assert found.max_length == 64 and found.n_truncated == 2
    data["bio"][3] = tokenizer.decode(
        tokenizer("nurse " * 200)["input_ids"][:64], skip_special_tokens=True
    )
    np.testing.assert_allclose(
        found.rows()[0][3], rows_of(model, data, tokenizer).rows()[0][3], rtol=1e-4, atol=1e-5
    )


def test_a_text_of_exactly_the_context_is_not_counted_as_cut():
    model, tokenizer = tiny("gpt2")
    ids = tokenizer("she works " * 60)["input_ids"][:64]
    data = {"bio": [tokenizer.decode(ids)], "job": [0], "gender": ["F"]}
    assert len(tokenizer(data["bio"][0])["input_ids"]) == 64
    assert collect(model, data, **COLUMNS, tokenizer=tokenizer).n_truncated == 0


# RoBERTa's table of 66 positions starts to count behind its padding row, here row 0
@pytest.mark.parametrize(("kind", "context"), [("llama", 64), ("roberta", 65), ("clip_text", 64)])
def test_the_context_is_known_from_the_model_alone(kind, context):
    model, tokenizer = tiny(kind)
    tokenizer.model_max_length = int(1e30)
    data = {"bio": ["nurse " * 300], "job": [0], "gender": ["F"]}
    found = collect(model, data, **COLUMNS, tokenizer=tokenizer)
    assert found.max_length == context


# -- memory -------------------------------------------------------------------


def live_bytes() -> int:
    # by type alone: asking some of torch's own objects for their class warns
    found = (t for t in gc.get_objects() if issubclass(type(t), torch.Tensor))
    return sum(t.numel() * t.element_size() for t in found)


def test_memory_does_not_grow_with_the_rows(monkeypatch):
    monkeypatch.setattr(_batching, "WINDOW_BATCHES", 8)
    model, tokenizer = tiny("gpt2")
    base = biographies(64)
    options = {**COLUMNS, "tokenizer": tokenizer, "batch_size": 8}
    collect(model, base, **options)  # what is made once is made here
    tensors, traced = {}, {}

    def stream(n):
        for i in range(n):
            yield {name: values[i % 64] for name, values in base.items()}

    def measure(n):
        def progress(text, done, total):
            if done == n:  # the tensors before anything is collected: none waits for it
                tensors[n] = live_bytes()
                gc.collect()
                traced[n] = tracemalloc.get_traced_memory()[0]

        return progress

    for n in (128, 1024):
        gc.collect()
        tracemalloc.start()
        collect(model, stream(n), **options, progress=measure(n))
        tracemalloc.stop()
    # fewer, where something of an earlier test was freed in between
    assert tensors[1024] <= tensors[128]
    # less a row than its one vector of 16 float32 numbers
    assert traced[1024] - traced[128] < 64 * (1024 - 128)


# -- whole journey ------------------------------------------------------------


def test_progress_counts_rows_and_is_told_the_total():
    model, tokenizer = tiny("gpt2")
    seen = []
    collect(
        model, biographies(20), **COLUMNS, tokenizer=tokenizer, batch_size=8,
        progress=lambda *call: seen.append(call),
    )  # fmt: skip
    assert [call[1:] for call in seen] == [(8, 20), (16, 20), (20, 20)]
    stream = iter([{"bio": "a nurse"}] * 3)
    seen.clear()
    collect(
        model, stream, text="bio", tokenizer=tokenizer, batch_size=2,
        progress=lambda *call: seen.append(call),
    )  # fmt: skip
    assert [call[1:] for call in seen] == [(2, 3), (3, 3)]


def test_rows_are_sorted_by_length_within_a_window_alone():
    model, tokenizer = tiny("gpt2")
    widths = []
    model.transformer.wte.register_forward_hook(
        lambda m, args, out: widths.append(tuple(args[0].shape))
    )
    texts = ["nurse " * (1 + i % 9) for i in range(140)]
    collect(model, {"t": texts}, text="t", tokenizer=tokenizer, batch_size=2)
    longest = [w for _, w in widths]
    assert len(widths) == 70  # one pass a batch
    assert longest[:64] == sorted(longest[:64], reverse=True)
    assert longest[64] > longest[63]  # a new window begins


def test_peft_and_compiled_wrappers_are_read_through():
    model, tokenizer = tiny("llama")
    data = biographies(12)
    wrapped = peft.get_peft_model(
        tiny("llama")[0],
        peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False),
    )
    plain = rows_of(model, data, tokenizer, site="residual", layers=1).rows(1)[0]
    adapted = rows_of(wrapped, data, tokenizer, site="residual", layers=1).rows(1)[0]
    assert not np.allclose(adapted, plain)
    merged = rows_of(wrapped.merge_and_unload(), data, tokenizer, site="residual", layers=1)
    np.testing.assert_allclose(merged.rows(1)[0], adapted, rtol=1e-4, atol=1e-5)
    compiled = torch.compile(model, backend="eager")
    np.testing.assert_array_equal(
        rows_of(compiled, data, tokenizer, site="residual", layers=1).rows(1)[0], plain
    )
