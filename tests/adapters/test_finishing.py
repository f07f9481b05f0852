"""``class_means_finish``: which head it writes, what it leaves alone, what it refuses."""

from __future__ import annotations

import json
import re

import numpy as np
import peft
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft.utils.other import ModulesToSaveWrapper
from torch import nn

from isonomy.adapters._start._head_rows import Head
from isonomy.adapters.finishing import _join, class_means_finish
from isonomy.adapters.starting import class_means_head
from isonomy.errors import InvalidInputError, OutputError, SingularCovarianceError
from reference.adapted_models import COUNTS, HEADS, TARGETS, K, adapted, loader, logits, trained
from reference.loaders import SIZES, texts
from reference.tail_start import two_covariance_scores
from tiny_models import tiny


def state(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def head_of(model, name="default"):
    part = next(m for m in model.modules() if isinstance(m, ModulesToSaveWrapper))
    return part.modules_to_save[name]


def read_states(model):
    """What the head reads of every toy row, one row at a time, adapters on; and the labels."""
    rows, labels = texts()
    seen = []
    handle = head_of(model).register_forward_pre_hook(lambda m, a: seen.append(a[0].detach()))
    for row in rows:
        logits(model, {"input_ids": torch.tensor([row])})
    handle.remove()
    return torch.stack([h[0, -1] if h.ndim == 3 else h[0] for h in seen]), np.array(labels)


def test_the_new_scores_are_the_weighted_mean_of_trained_head_and_class_means():
    model = trained("llama", torch.float32)
    X, y = read_states(model)
    order = np.argsort(y, kind="stable")
    means = class_means_head(X[order], y[order], K, bias=False)
    z = X.double().numpy() @ head_of(model).weight.detach().double().numpy().T
    report = class_means_finish(model, loader(), class_counts=COUNTS, weight=3.0, n_per_class=99)
    new = X.double().numpy() @ head_of(model).weight.detach().double().numpy().T
    expected = (z + 3.0 * means.scores(X)) / 4.0
    assert np.allclose(new, expected, atol=2e-3 * np.abs(expected).max())
    assert report.head.n_rows == len(y) and report.rows_per_class == SIZES
    assert report.head.scale == pytest.approx(means.scale, rel=0.02)


def test_class_means_are_those_of_the_formula_written_out():
    model = adapted("bert")  # a head with a bias, and at weight 1e6 the trained one is nothing
    X, y = read_states(model)
    X = X.double().numpy()
    class_means_finish(
        model, loader(), class_counts=COUNTS, weight=1e6, n_per_class=99, shrinkage=0.5
    )
    head = head_of(model)
    found = X @ head.weight.detach().double().numpy().T + head.bias.detach().double().numpy()
    within = np.mean([np.cov(X[y == k].T) for k in range(K)], axis=0)
    deviation = np.sqrt(np.diag(within))
    correlation = within / np.outer(deviation, deviation)
    shrunk = 0.5 * correlation + 0.5 * np.eye(len(within))
    shrunk *= np.outer(deviation, deviation)
    expected = two_covariance_scores(X, y, K, shrunk, X)
    # scores of the formula are known up to their scale, and a constant of each row
    centred = [s - s.mean(axis=1, keepdims=True) for s in (found, expected)]
    slope = float((centred[0] * centred[1]).sum() / (centred[1] ** 2).sum())
    assert slope > 0
    assert np.allclose(centred[0], slope * centred[1], atol=2e-2 * np.abs(centred[0]).max())


@given(seed=st.integers(0, 99), weight=st.floats(0, 50), bias=st.booleans())
@settings(max_examples=25)
def test_joining_is_a_weighted_mean_between_the_two(seed, weight, bias):
    rng = np.random.default_rng(seed)
    linear = nn.Linear(5, 3, bias=bias)
    means = class_means_head(rng.standard_normal((30, 5)), np.arange(30) % 3, 3, bias=bias)
    before = [p.detach().double().numpy().copy() for p in linear.parameters()]
    _join(type("Head", (), {"linear": linear}), means, weight)
    for p, old, new in zip(linear.parameters(), before, (means.weight, means.bias), strict=False):
        now = p.detach().double().numpy()
        assert np.allclose(now, (old + weight * new) / (1 + weight), atol=1e-6)
        low, high = np.minimum(old, new), np.maximum(old, new)
        assert ((now >= low - 1e-6) & (now <= high + 1e-6)).all()


def test_weight_0_leaves_the_head_to_the_bit():
    model = trained("llama", torch.float32)
    before = state(model)
    class_means_finish(model, loader(), class_counts=COUNTS, weight=0.0)
    assert all(torch.equal(value, before[name]) for name, value in state(model).items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("kind", TARGETS)
def test_only_the_trained_head_changes(kind, dtype):
    model = trained(kind, dtype).train()
    model.base_model.model.get_submodule(HEADS[kind]).eval()
    modes = [m.training for m in model.modules()]
    wanted = {n: p.requires_grad for n, p in model.named_parameters()}
    before = state(model)
    torch.manual_seed(3)
    generator = torch.get_rng_state()
    class_means_finish(model, loader(kind), class_counts=COUNTS)
    changed = {n for n, v in state(model).items() if not torch.equal(v, before[n])}
    assert changed and all("modules_to_save.default" in name for name in changed)
    assert torch.equal(torch.get_rng_state(), generator)
    assert [m.training for m in model.modules()] == modes
    assert {n: p.requires_grad for n, p in model.named_parameters()} == wanted
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_the_adapter_is_on_whatever_was_active():
    plain, model = trained("llama", torch.float32), trained("llama", torch.float32)
    class_means_finish(plain, loader(), class_counts=COUNTS)
    model.add_adapter("second", model.peft_config["default"])
    model.set_adapter("second")
    with model.disable_adapter():
        class_means_finish(model, loader(), class_counts=COUNTS, adapter_name="default")
    assert model.active_adapters == ["second"]
    assert torch.equal(head_of(model).weight, head_of(plain).weight)
    # the states are those of the trained adapter: without it the head would be another
    other = trained("llama", torch.float32)
    for name, part in other.named_parameters():
        if "lora_B" in name:
            part.data.zero_()
    class_means_finish(other, loader(), class_counts=COUNTS)
    assert not torch.allclose(head_of(other).weight, head_of(plain).weight, atol=1e-3)


def test_batches_and_their_padding_do_not_matter():
    found = []
    for size in (3, 11, 99):
        model = trained("llama", torch.float32)
        class_means_finish(model, loader(size=size), class_counts=COUNTS, n_per_class=5)
        found.append(head_of(model).weight.detach())
    assert torch.allclose(found[0], found[1], atol=1e-3)
    assert torch.allclose(found[0], found[2], atol=1e-3)


@pytest.mark.parametrize("kind", TARGETS)
def test_the_saved_adapter_loads_with_plain_peft_to_the_bit(kind, tmp_path):
    model = trained(kind, torch.float32)
    report = class_means_finish(model, loader(kind), class_counts=COUNTS)
    model.save_pretrained(tmp_path)
    assert report.save_finish(tmp_path) == tmp_path / "isonomy_finish.json"
    again = peft.PeftModel.from_pretrained(adapted(kind).unload(), tmp_path).eval()
    for batch in loader(kind):
        assert torch.equal(logits(again, batch), logits(model, batch))


def test_a_head_that_knows_nothing_classifies_afterwards():
    model = adapted("llama")
    batches = loader(sizes=(40, 40, 40, 40))
    class_means_finish(model, batches, class_counts=COUNTS)
    truth = torch.cat([batch["labels"] for batch in batches])
    found = torch.cat([logits(model, batch).argmax(dim=1) for batch in batches])
    assert (truth == found).double().mean() > 0.5  # chance is 0.25


def test_the_report_says_what_was_read_and_written():
    batches = loader(sizes=(9, 9, 9, 0))
    report = class_means_finish(
        trained("llama", torch.float32), batches, class_counts=COUNTS, n_per_class=5
    )
    assert report.rows_per_class == (5, 5, 5, 0) and report.n_read == 27
    assert report.missing == ("ouzel",)
    plain = report.to_dict()
    assert plain == json.loads(json.dumps(plain)) and plain["kind"] == "finish"
    assert plain["settings"]["class_counts"] == COUNTS and plain["weight"] == 2.0
    assert "weight 2 to 1 (27 rows read" in str(report)
    assert "No row in the draw: ouzel." in str(report) and "Head score" in str(report)


def test_max_rows_lowers_the_draw_and_progress_hears_of_it():
    heard = []
    report = class_means_finish(
        adapted("llama"),
        loader(),
        class_counts=dict(zip(COUNTS, SIZES, strict=True)),
        max_rows=15,
        progress=lambda *said: heard.append(said),
    )
    assert report.head.n_rows == 12 and report.rows_per_class == (3, 3, 3, 3)
    assert heard[-1] == ("finish: inputs", 12, 12) and heard[0][0] == "reading rows"


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"weight": -1.0}, "`weight` of `class_means_finish` must lie"),
        ({"weight": float("inf")}, "`weight` of `class_means_finish`"),
        ({"n_per_class": 0}, "`n_per_class`"),
        ({"max_rows": 0}, "`max_rows`"),
        ({"random_state": -1}, "`random_state`"),
        ({"shrinkage": "lasso"}, "`shrinkage`"),
        ({"adapter_name": "other"}, "needs one classification head with 4 outputs"),
        ({"class_counts": [5, 5, 5]}, "needs one classification head with 3 outputs"),
        ({"dataloader": []}, "`class_means_finish` must yield batches, got none"),
        ({"dataloader": [{"input_ids": torch.ones(2, 3).long()}]}, 'with "labels"'),
        (
            {"dataloader": [(torch.ones(2, 3).long(), torch.tensor([1, 9]))]},
            "`class_means_finish` must be codes 0 to 3",
        ),
        (
            {"dataloader": [(torch.ones(2, 3).long(), torch.tensor([1, 1]))]},
            "rows of at least two classes, got 1",
        ),
        ({"peft_model": "a name"}, "must be a model with LoRA"),
    ],
)
def test_wrong_input_is_refused_and_the_head_stays(setting, match):
    model = trained("llama", torch.float32)
    before = state(model)
    given = {"peft_model": model, "dataloader": loader(), "class_counts": COUNTS, **setting}
    first = [given.pop(name) for name in ("peft_model", "dataloader")]
    with pytest.raises(InvalidInputError, match=match):
        class_means_finish(*first, **given)
    assert all(torch.equal(value, before[name]) for name, value in state(model).items())


def test_states_that_are_not_finite_are_refused_and_the_head_stays():
    model = trained("llama", torch.float32)
    model.base_model.model.model.norm.weight.data[0] = float("nan")
    before = head_of(model).weight.detach().clone()
    with pytest.raises(InvalidInputError, match=r"scores of 'score' in `class_means_finish`"):
        class_means_finish(model, loader(), class_counts=COUNTS)
    assert torch.equal(head_of(model).weight, before)


def test_an_error_leaves_adapters_modes_gradients_and_hooks_as_they_were():
    model = trained("llama", torch.float32).train()
    model.add_adapter("second", model.peft_config["default"])
    model.set_adapter("second")
    model.base_model.disable_adapter_layers()
    model.base_model.model.model.norm.weight.data[0] = float("nan")  # the pass itself fails
    parts = [m for m in model.modules() if hasattr(m, "_disable_adapters")]

    def switched():
        return [(m._disable_adapters, list(m.active_adapters)) for m in parts]

    grads = {n: p.requires_grad for n, p in model.named_parameters()}
    before, modes = switched(), [m.training for m in model.modules()]
    with pytest.raises(InvalidInputError, match="must be finite"):
        class_means_finish(model, loader(), class_counts=COUNTS)
    assert switched() == before and before[0] == (True, ["second"])
    assert {n: p.requires_grad for n, p in model.named_parameters()} == grads
    assert [m.training for m in model.modules()] == modes
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_head_too_narrow_for_the_joined_weights_is_refused_and_stays():
    linear = nn.Linear(5, 3).half()
    before = [p.detach().clone() for p in linear.parameters()]
    X = 1e-8 * np.random.default_rng(0).standard_normal((30, 5))
    X[:, 0] += 1e-7 * (np.arange(30) % 3)  # states so small ask for weights beyond 65504
    means = class_means_head(X, np.arange(30) % 3, 3)
    head = Head("score", linear)
    with pytest.raises(InvalidInputError, match=r"range of torch.float16\. Keep the head in"):
        _join(head, means, 2.0)
    assert all(torch.equal(p, old) for p, old in zip(linear.parameters(), before, strict=True))


def test_a_singular_covariance_without_shrinkage_is_refused():
    with pytest.raises(SingularCovarianceError):
        class_means_finish(
            trained("llama", torch.float32), loader(), class_counts=COUNTS, n_per_class=2,
            shrinkage=None,
        )  # fmt: skip


def test_a_merged_model_is_refused():
    model = trained("llama", torch.float32)
    model.merge_adapter()
    with pytest.raises(InvalidInputError, match=re.escape("Call `unmerge_adapter()` first")):
        class_means_finish(model, loader(), class_counts=COUNTS)


def test_a_head_with_layers_in_front_is_written_at_its_last_map():
    model, _ = tiny("roberta", task="classification", num_labels=K)
    config = peft.LoraConfig(r=2, target_modules=["query"], modules_to_save=["classifier"])
    model = peft.get_peft_model(model, config)
    dense = model.classifier.modules_to_save["default"].dense.weight.clone()
    report = class_means_finish(model, loader(), class_counts=COUNTS)
    assert report.head.name == "classifier.out_proj"
    assert torch.equal(model.classifier.modules_to_save["default"].dense.weight, dense)


def test_a_report_that_cannot_be_written_says_so(tmp_path):
    report = class_means_finish(adapted("llama"), loader(), class_counts=COUNTS)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError):
        report.save_finish(tmp_path / "file" / "folder")
