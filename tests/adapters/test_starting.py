"""``bias_aware_start`` inside models: what it writes, what it leaves alone, what it refuses."""

from __future__ import annotations

import json

import numpy as np
import peft
import pytest
import torch
from torch import nn

from isonomy.adapters.losses.class_grouping import class_groups
from isonomy.adapters.starting import bias_aware_start, class_means_head
from isonomy.distributions.shrinkage import shrink
from isonomy.errors import InvalidInputError, MissingExtraError, SameCountsWarning
from reference.adapted_models import (
    COUNTS,
    TARGETS,
    K,
    adapted,
    loader,
    logits,
    lora_a,
    others,
    same,
    trained,
)
from reference.loaders import SIZES, texts
from reference.tail_start import class_moments, tail_subspace
from tiny_models import tiny


def span_gap(a, b):
    """Sine of the largest angle between the rows of two matrices."""
    p, q = np.linalg.qr(a.T)[0], np.linalg.qr(b.T)[0]
    return np.sqrt(max(0.0, 1 - np.linalg.svd(p.T @ q, compute_uv=False).min() ** 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("init", ["tail_structure", "tail_gradient"])
@pytest.mark.parametrize("kind", TARGETS)
def test_at_step_0_the_output_is_bit_equal_to_the_base_models(kind, init, dtype):
    model = adapted(kind, dtype=dtype)
    batches = loader(kind)
    with model.disable_adapter():
        base = [logits(model, batch) for batch in batches]
    before, start = others(model), lora_a(model)
    report = bias_aware_start(model, batches, class_counts=COUNTS, init=init)
    assert all(torch.equal(logits(model, b), z) for b, z in zip(batches, base, strict=True))
    assert same(others(model), before)
    assert all(not np.array_equal(a, start[n]) for n, a in lora_a(model).items())
    assert not report.fell_back and len(report.modules) == len(start)


@pytest.mark.parametrize("kind", TARGETS)
def test_rows_are_orthogonal_with_the_norm_of_the_default(kind):
    model = adapted(kind)
    bias_aware_start(model, loader(kind), class_counts=COUNTS)
    for matrix in lora_a(model).values():
        assert np.allclose(matrix @ matrix.T, np.eye(len(matrix)) / 3, atol=1e-6)


def test_the_norm_is_what_peft_draws_on_average():
    layer = nn.Linear(64, 8)
    model = peft.get_peft_model(nn.Sequential(layer), peft.LoraConfig(r=64, target_modules=["0"]))
    matrix = next(iter(lora_a(model).values()))
    # 64 rows of 64 uniform numbers: the mean square is known within 2 % (one sigma 1.4 %)
    assert (matrix**2).sum(axis=1).mean() == pytest.approx(1 / 3, rel=0.05)


@pytest.mark.parametrize("tokens", ["all", "mean", "last"])
def test_directions_are_the_formulas_of_each_rows_own_tokens(tokens):
    model = adapted("llama", r=2)
    rows, labels = texts()
    layer = model.base_model.model.model.layers[1].self_attn.k_proj
    seen = []
    handle = layer.register_forward_pre_hook(lambda m, a: seen.append(a[0][0].double().numpy()))
    for row in rows:
        logits(model, {"input_ids": torch.tensor([row])})
    handle.remove()
    bias_aware_start(
        model, loader(size=7), class_counts=COUNTS, shrinkage=0.3, tokens=tokens, n_per_class=99
    )
    if tokens == "mean":
        seen = [row.mean(axis=0, keepdims=True) for row in seen]
    means, S = class_moments(seen, labels, K, tokens)
    S = shrink(S, len(rows), 0.3)
    counts = np.array(list(COUNTS.values()))
    columns, _ = tail_subspace(means, S, counts, counts < counts.mean(), 2)
    found = layer.lora_A["default"].weight.detach().double().numpy()
    # float32 activations: 1e-7, times the condition of the covariance
    assert span_gap(found, columns.T) < 1e-3


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_gradient_directions_are_those_of_the_weights_own_gradient(kind):
    model = adapted(kind, r=2)
    rows, labels = texts()
    counts = np.array(list(COUNTS.values()))
    tail = counts < counts.mean()
    modules = {n: m for n, m in model.named_modules() if hasattr(m, "lora_A")}
    weights = [m.get_base_layer().weight for m in modules.values()]
    for weight in weights:
        weight.requires_grad_(True)
    loss = sum(
        nn.functional.cross_entropy(
            model(input_ids=torch.tensor([row])).logits.double(), torch.tensor([label])
        )
        / (counts[label] * SIZES[label])
        for row, label in zip(rows, labels, strict=True)
        if tail[label]
    )
    grads = torch.autograd.grad(loss, weights)
    for weight in weights:
        weight.requires_grad_(False)
    bias_aware_start(
        model, loader(), class_counts=COUNTS, init="tail_gradient", n_per_class=99, max_rows=None
    )
    for name, grad, module in zip(modules, grads, modules.values(), strict=True):
        # Conv1D keeps its weight (d_in, d_out)
        own = (grad.T if kind == "gpt2" else grad).double().numpy()
        vectors = np.linalg.svd(own)[2][:2]
        found = module.lora_A["default"].weight.detach().double().numpy()
        assert span_gap(found, vectors) < 1e-3, name


@pytest.mark.parametrize("init", ["tail_structure", "tail_gradient"])
def test_nothing_else_of_the_model_changes(init):
    model = adapted().train()
    model.base_model.model.model.norm.eval()
    modes = [m.training for m in model.modules()]
    wanted = {n: p.requires_grad for n, p in model.named_parameters()}
    torch.manual_seed(3)
    state = torch.get_rng_state()
    bias_aware_start(model, loader(), class_counts=COUNTS, init=init, head="class_means")
    assert torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in model.modules()] == modes
    assert {n: p.requires_grad for n, p in model.named_parameters()} == wanted
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_batches_of_any_size_give_the_same_start():
    found = []
    for size in (3, 11, 99):
        model = adapted()
        bias_aware_start(model, loader(size=size), class_counts=COUNTS, n_per_class=3)
        found.append(lora_a(model))
    for name in found[0]:
        # another padding, other kernels: float32 rounding through the condition of S
        assert np.allclose(found[0][name], found[1][name], atol=1e-3)
        assert np.allclose(found[0][name], found[2][name], atol=1e-3)


def padded_left(batch):
    mask = batch["attention_mask"]
    shifts = (mask.shape[1] - mask.sum(dim=1)).tolist()

    def moved(rows):
        return torch.stack([row.roll(n) for row, n in zip(rows, shifts, strict=True)])

    return {**batch, "input_ids": moved(batch["input_ids"]), "attention_mask": moved(mask)}


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert"])
def test_left_padding_and_garbage_behind_the_mask_change_nothing(kind):
    model, other = adapted(kind), adapted(kind)
    batches = loader(size=7)
    bias_aware_start(model, batches, class_counts=COUNTS)
    changed = [padded_left(batch) for batch in batches]
    for batch in changed:
        batch["input_ids"] = torch.where(batch["attention_mask"] == 0, 17, batch["input_ids"])
    bias_aware_start(other, changed, class_counts=COUNTS)
    for name, matrix in lora_a(model).items():
        np.testing.assert_array_equal(lora_a(other)[name], matrix)


def test_a_shuffling_loader_gives_the_same_start_for_the_same_random_state():
    rows, labels = texts(n_tokens=3)  # all of three tokens
    data = torch.utils.data.TensorDataset(torch.tensor(rows), torch.tensor(labels))
    shuffled = torch.utils.data.DataLoader(data, batch_size=4, shuffle=True)
    found = []
    for seed, random_state in ((0, 5), (1, 5), (1, 6)):
        model = adapted()
        torch.manual_seed(seed)
        bias_aware_start(
            model, shuffled, class_counts=COUNTS, n_per_class=3, random_state=random_state
        )
        found.append(lora_a(model))
    assert all(np.array_equal(found[0][n], found[1][n]) for n in found[0])
    assert any(not np.allclose(found[1][n], found[2][n]) for n in found[0])


@pytest.mark.parametrize("kind", TARGETS)
def test_the_saved_adapter_loads_with_plain_peft_to_the_bit(kind, tmp_path):
    model = adapted(kind)
    config = model.peft_config["default"].to_dict()
    report = bias_aware_start(model, loader(kind), class_counts=COUNTS, head="class_means")
    model.save_pretrained(tmp_path)
    assert report.save_start(tmp_path) == tmp_path / "isonomy_start.json"
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert set(saved) <= {*config, "auto_mapping", "peft_version"}
    fresh = adapted(kind).unload()
    again = peft.PeftModel.from_pretrained(fresh, tmp_path).eval()
    for batch in loader(kind):
        assert torch.equal(logits(again, batch), logits(model, batch))


def merge_error(kind, dtype):
    model = trained(kind, dtype)
    batches = loader(kind)
    before = torch.cat([logits(model, batch).double() for batch in batches])
    merged = model.merge_and_unload()
    after = torch.cat([logits(merged, batch).double() for batch in batches])
    return float((after - before).abs().max() / before.abs().max())


@pytest.mark.parametrize("kind", TARGETS)
def test_merging_after_training_agrees(kind):
    assert merge_error(kind, torch.float32) < 1e-5


@pytest.mark.parametrize("kind", TARGETS)
def test_merging_in_bfloat16_agrees_within_its_rounding(kind):
    # the merged weight is rounded to 8 bits: 2**-8 a weight, through three blocks and a head
    assert merge_error(kind, torch.bfloat16) < 0.05


def test_the_head_is_the_discriminant_of_what_it_reads():
    model = adapted("llama")
    rows, labels = texts()
    base = model.base_model.model
    states = [base.model(torch.tensor([row])).last_hidden_state[0, -1].detach() for row in rows]
    original = base.score.original_module.weight.clone()
    report = bias_aware_start(
        model, loader(), class_counts=COUNTS, head="class_means", head_n_per_class=99
    )
    order = np.argsort(labels, kind="stable")
    expected = class_means_head(torch.stack(states)[order], np.array(labels)[order], K, bias=False)
    written = base.score.modules_to_save["default"].weight.detach().double().numpy()
    assert np.allclose(written, expected.weight, atol=1e-3 * np.abs(expected.weight).max())
    assert torch.equal(base.score.original_module.weight, original)
    assert report.head.n_rows == len(rows) and report.head.name == "score"
    assert report.head.scale == pytest.approx(expected.scale, rel=0.02)


@pytest.mark.parametrize("kind", TARGETS)
def test_the_head_start_classifies_from_the_first_step(kind):
    model = adapted(kind)
    batches = loader(kind, sizes=(40, 40, 40, 40))
    bias_aware_start(model, batches, class_counts=COUNTS, head="class_means", n_per_class=40)
    truth, found = [], []
    for batch in loader(kind, sizes=(40, 40, 40, 40)):
        truth.append(batch["labels"] if isinstance(batch, dict) else batch[1])
        found.append(logits(model, batch).argmax(dim=1))
    right = (torch.cat(truth) == torch.cat(found)).double().mean()
    assert right > 0.5  # chance is 0.25


def test_a_head_with_layers_in_front_is_written_at_its_last_map():
    size = {"num_labels": K}
    model, _ = tiny("roberta", task="classification", **size)
    config = peft.LoraConfig(r=2, target_modules=["query"], modules_to_save=["classifier"])
    model = peft.get_peft_model(model, config)
    dense = model.classifier.modules_to_save["default"].dense.weight.clone()
    report = bias_aware_start(model, loader(), class_counts=COUNTS, head="class_means")
    assert report.head.name == "classifier.out_proj"
    assert torch.equal(model.classifier.modules_to_save["default"].dense.weight, dense)


def test_a_second_adapter_starts_as_if_it_were_alone():
    alone = adapted()
    bias_aware_start(alone, loader(), class_counts=COUNTS)
    model = trained("llama", torch.float32)
    model.add_adapter("second", model.peft_config["default"])
    first, active = lora_a(model), model.active_adapters
    wanted = {n: p.requires_grad for n, p in model.named_parameters()}
    bias_aware_start(model, loader(), class_counts=COUNTS, adapter_name="second")
    assert model.active_adapters == active
    assert {n: p.requires_grad for n, p in model.named_parameters()} == wanted
    assert all(np.array_equal(a, first[n]) for n, a in lora_a(model).items())
    for name, matrix in lora_a(model, "second").items():
        assert np.allclose(matrix, lora_a(alone)[name], atol=1e-6)


@pytest.mark.parametrize("config", [{"use_rslora": True}, {"use_dora": True}])
def test_scaling_and_magnitudes_of_variants_are_left_alone(config):
    model = adapted("llama", **config)
    before = others(model)
    scaling = [m.scaling for m in model.modules() if hasattr(m, "lora_A")]
    z = logits(model, loader()[0])
    bias_aware_start(model, loader(), class_counts=COUNTS)
    assert same(others(model), before)
    assert [m.scaling for m in model.modules() if hasattr(m, "lora_A")] == scaling
    assert torch.allclose(logits(model, loader()[0]), z, atol=1e-6)


def test_what_the_tail_cannot_fill_comes_from_the_inputs_then_from_the_default():
    model = adapted("llama", r=20)  # inputs of 16 features
    report = bias_aware_start(model, loader(), class_counts=COUNTS, tail=["ouzel", "shrike"])
    line = report.modules[0]
    assert (line.n_tail, line.n_inputs, line.n_default) == (2, 14, 4)
    assert line.captured == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("count", ("wren", "shrike", "ouzel")),
        ("ratio", ("shrike", "ouzel")),
        (["wren"], ("wren",)),
        (class_groups(COUNTS, threshold=21), ("shrike", "ouzel")),
    ],
    ids=["count", "ratio", "names", "groups"],
)
def test_the_rare_classes_follow_the_rule(tail, expected):
    report = bias_aware_start(adapted(), loader(), class_counts=COUNTS, tail=tail)
    assert report.tail == expected


def test_equal_counts_keep_the_default_start_and_say_so():
    model = adapted()
    before = lora_a(model)
    with pytest.warns(SameCountsWarning, match="equal for all 4 classes"):
        report = bias_aware_start(model, iter(()), class_counts=[7, 7, 7, 7])
    assert report.fell_back and report.init == "default" and "none is rare" in str(report)
    assert all(np.array_equal(a, before[n]) for n, a in lora_a(model).items())


def test_equal_counts_still_allow_the_head_and_named_classes():
    model = adapted()
    with pytest.warns(SameCountsWarning):
        report = bias_aware_start(model, loader(), class_counts=[7, 7, 7, 7], head="class_means")
    assert report.fell_back and report.head is not None
    report = bias_aware_start(model, loader(), class_counts=[7, 7, 7, 7], tail=["2"])
    assert report.tail == ("2",) and not report.fell_back


def test_a_class_without_rows_is_named():
    report = bias_aware_start(adapted(), loader(sizes=(9, 9, 9, 0)), class_counts=COUNTS)
    assert report.missing == ("ouzel",) and "No row in the draw: ouzel." in str(report)
    with pytest.raises(InvalidInputError, match=r"rows of the rare classes \(ouzel\), got none"):
        bias_aware_start(adapted(), loader(sizes=(9, 9, 9, 0)), class_counts=COUNTS, tail=["ouzel"])


def test_the_report_says_what_was_read_and_written():
    report = bias_aware_start(
        adapted(), loader(), class_counts=COUNTS, n_per_class=5, head="class_means"
    )
    assert report.rows_per_class == (5, 5, 5, 4) and report.n_read == sum(SIZES)
    assert report.n_rows == 19
    plain = report.to_dict()
    assert plain == json.loads(json.dumps(plain)) and plain["kind"] == "start"
    assert plain["settings"]["class_counts"] == COUNTS
    text = str(report)
    assert "tail_structure start of adapter 'default': 12 of 12 modules from 19 rows" in text
    assert "Head score: class means of 19 rows" in text
    assert "model.layers.0.self_attn.q_proj: 3 tail, 1 inputs" in text


def test_max_rows_lowers_the_draw():
    report = bias_aware_start(adapted(), loader(), class_counts=COUNTS, max_rows=11)
    assert report.rows_per_class == (2, 2, 2, 2)
    report = bias_aware_start(
        adapted(), loader(), class_counts=COUNTS, max_rows=27, init="tail_gradient"
    )
    assert report.rows_per_class == (0, 3, 3, 3)


def test_progress_hears_of_every_stage():
    heard = []
    bias_aware_start(
        adapted(),
        loader(),
        class_counts=COUNTS,
        init="tail_gradient",
        head="class_means",
        progress=lambda *call: heard.append(call),
    )
    assert {stage for stage, *_ in heard} == {"reading rows", "start: inputs", "start: gradients"}
    assert heard[-1][1] == heard[-1][2]


def test_a_group_column_is_not_given_to_the_model():
    batches = [{**b, "groups": torch.zeros(len(b["labels"])), "text": ["x"]} for b in loader()]
    one, two = adapted(), adapted()
    bias_aware_start(one, batches, class_counts=COUNTS)
    bias_aware_start(two, loader(), class_counts=COUNTS)
    assert all(np.array_equal(a, lora_a(two)[n]) for n, a in lora_a(one).items())


class TwoPasses(nn.Module):
    """Scores rows, then runs the model again over other rows: its classes."""

    def __init__(self, model):
        super().__init__()
        self.inner = model

    def forward(self, input_ids, attention_mask):
        found = self.inner(input_ids=input_ids, attention_mask=attention_mask)
        self.inner(input_ids=torch.full((3, 2), 9))
        return found


def test_a_wrapper_that_runs_the_model_twice_is_read_at_its_rows():
    wrapped, plain = adapted(), adapted()
    bias_aware_start(TwoPasses(wrapped), loader(), class_counts=COUNTS, head="class_means")
    bias_aware_start(plain, loader(), class_counts=COUNTS, head="class_means")
    for name, matrix in lora_a(plain).items():
        assert np.allclose(lora_a(wrapped)[name], matrix, atol=1e-6)


def change(batches, **values):
    return [{**batch, **{k: f(batch) for k, f in values.items()}} for batch in batches]


def without(batches, key):
    return [{k: v for k, v in batch.items() if k != key} for batch in batches]


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (lambda: [], "must yield batches, got none"),
        (lambda: without(loader(), "labels"), 'with "labels", got the keys'),
        (lambda: [torch.zeros(3)], "dicts with \"labels\" or"),
        (lambda: change(loader(), labels=lambda b: b["labels"] + 9), "codes 0 to 3 .* got 9 to"),
        (lambda: change(loader(), labels=lambda b: b["labels"] - 1), "codes 0 to 3 .* got -1 to"),
        (lambda: change(loader(), labels=lambda b: b["input_ids"]), "one whole number a row"),
        (lambda: change(loader(), labels=lambda b: b["labels"].float()), "one whole number a row"),
        (lambda: change(loader(), input_ids=lambda b: b["input_ids"][:1]), "one row for each of"),
        (lambda: [{"words": torch.zeros(2), "labels": torch.zeros(2).long()}], "names that the"),
        (lambda: change(loader(), attention_mask=lambda b: 0 * b["attention_mask"]), "real token"),
    ],
    ids=[
        "empty", "unlabelled", "bare", "high", "negative", "tokens", "float", "rows", "names",
        "mask",
    ],
)  # fmt: skip
def test_wrong_batches_are_refused(data, match):
    with pytest.raises(InvalidInputError, match=match):
        bias_aware_start(adapted(), data(), class_counts=COUNTS)


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"init": "eva"}, "`init`"),
        ({"tail": "rare"}, "`tail`"),
        ({"tail": ["emu"]}, "unknown 'emu'"),
        ({"tail": class_groups([9, 1])}, "`tail` .* must split the 4 classes"),
        ({"n_per_class": 0}, "`n_per_class`"),
        ({"head_n_per_class": 0}, "`head_n_per_class`"),
        ({"max_rows": 0}, "`max_rows`"),
        ({"shrinkage": 1.5}, "`shrinkage`"),
        ({"shrinkage": "ledoit-wolf"}, "needs the rows"),
        ({"tokens": "first"}, "`tokens`"),
        ({"adapter_name": "gone"}, r"one of the model's LoRA adapters \('default'\), got 'gone'"),
        ({"head": "lda"}, "`head`"),
        ({"random_state": -1}, "`random_state`"),
        ({"class_counts": [3, 2]}, "codes 0 to 1 as `class_counts` has 2 classes"),
        ({"class_counts": [3]}, "at least two classes"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_wrong_settings_are_refused(setting, match):
    with pytest.raises(InvalidInputError, match=match):
        bias_aware_start(adapted(), loader(), **{"class_counts": COUNTS, **setting})


def test_a_model_without_lora_lists_candidates():
    model, _ = tiny("llama", task="classification")
    with pytest.raises(InvalidInputError, match=r"has none\. Candidates .* k_proj \(3\)"):
        bias_aware_start(model, loader(), class_counts=COUNTS)
    with pytest.raises(InvalidInputError, match="must be a model with LoRA"):
        bias_aware_start("llama", loader(), class_counts=COUNTS)


def test_a_trained_or_merged_adapter_is_refused():
    model = trained("llama", torch.float32)
    with pytest.raises(InvalidInputError, match=r"`lora_B` of adapter 'default' must be zero"):
        bias_aware_start(model, loader(), class_counts=COUNTS)
    model = adapted()
    model.merge_adapter()
    with pytest.raises(InvalidInputError, match="must not be merged"):
        bias_aware_start(model, loader(), class_counts=COUNTS)


def test_a_head_that_is_not_trained_is_refused():
    model = adapted(modules_to_save=None)
    with pytest.raises(InvalidInputError, match="4 outputs in `modules_to_save`"):
        bias_aware_start(model, loader(), class_counts=COUNTS, head="class_means")


@pytest.mark.parametrize("head", ["keep", "class_means"])
def test_activations_that_are_not_finite_name_the_layer_and_leave_all_as_it_was(head):
    model = adapted()
    with torch.no_grad():
        model.base_model.model.model.layers[1].input_layernorm.weight[0] = float("nan")
    before, start = others(model), lora_a(model)
    with pytest.raises(InvalidInputError, match=r"inputs of 'model.layers.1.self_attn.q_proj'"):
        bias_aware_start(model, loader(), class_counts=COUNTS, head=head)
    before.pop("base_model.model.model.layers.1.input_layernorm.weight")
    after = others(model)
    after.pop("base_model.model.model.layers.1.input_layernorm.weight")
    assert same(after, before)
    assert all(np.array_equal(a, start[n]) for n, a in lora_a(model).items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_an_error_after_the_head_was_written_takes_it_back():
    model = adapted()
    before = others(model)

    def broken(stage, done, total):
        if stage == "start: gradients":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bias_aware_start(
            model,
            loader(),
            class_counts=COUNTS,
            init="tail_gradient",
            head="class_means",
            progress=broken,
        )
    assert same(others(model), before)


def test_gradients_need_scores_of_every_class():
    model, _ = tiny("llama", task="causal")
    model = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["q_proj"]))
    assert not bias_aware_start(model, loader(), class_counts=COUNTS).fell_back
    with pytest.raises(InvalidInputError, match=r"must return `logits` of shape \(\d+, 4\)"):
        bias_aware_start(model, loader(), class_counts=COUNTS, init="tail_gradient")


def quantised(model):
    """Pass the first adapted layer's own weights off as bitsandbytes' (which is not here)."""
    base = next(m for m in model.modules() if hasattr(m, "lora_A")).get_base_layer()
    base.__class__ = type("Linear4bit", (nn.Linear,), {"__module__": "bitsandbytes.nn.modules"})
    return model


def test_quantised_weights_have_no_gradient_and_need_bitsandbytes(monkeypatch):
    with pytest.raises(InvalidInputError, match=r"Linear4bit\) is quantised"):
        bias_aware_start(quantised(adapted()), loader(), class_counts=COUNTS, init="tail_gradient")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="needs bitsandbytes"):
        bias_aware_start(quantised(adapted()), loader(), class_counts=COUNTS)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert not bias_aware_start(quantised(adapted()), loader(), class_counts=COUNTS).fell_back
