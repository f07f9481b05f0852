"""Cross-entropy and its forms: literal oracles, gradients, laws, extremes, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from isonomy.adapters.losses import (
    balanced_softmax,
    binary_cross_entropy,
    class_balanced_weights,
    cross_entropy,
    focal,
    ldam,
    logit_adjusted,
    post_hoc_adjusted,
)
from isonomy.errors import InvalidInputError
from reference import class_losses as oracle

COUNTS = [50, 20, 7, 1]
WEIGHT = [0.5, 1.0, 2.0, 7.0]
LOSSES = {
    "cross_entropy": (cross_entropy, oracle.cross_entropy, {}),
    "weighted": (cross_entropy, oracle.cross_entropy, {"weight": WEIGHT}),
    "logit_adjusted": (
        logit_adjusted,
        oracle.logit_adjusted,
        {"class_counts": COUNTS, "tau": 1.7},
    ),
    "balanced_softmax": (balanced_softmax, oracle.balanced_softmax, {"class_counts": COUNTS}),
    "focal": (focal, oracle.focal, {"gamma": 1.5, "weight": WEIGHT}),
    "focal below one": (focal, oracle.focal, {"gamma": 0.5}),
    "ldam": (ldam, oracle.ldam, {"class_counts": COUNTS, "scale": 3.0, "weight": WEIGHT}),
}
each_loss = pytest.mark.parametrize("name", LOSSES)


def batch(seed, n=6, k=4, scale=2.0, dtype=torch.float64):
    rng = np.random.default_rng(seed)
    logits = torch.tensor(scale * rng.normal(size=(n, k)), dtype=dtype)
    return logits, torch.tensor(rng.integers(0, k, n))


def multi_batch(seed, n=6, k=4, scale=2.0, dtype=torch.float64):
    rng = np.random.default_rng(seed)
    logits = torch.tensor(scale * rng.normal(size=(n, k)), dtype=dtype)
    return logits, torch.tensor(rng.integers(0, 2, (n, k)))


@each_loss
@examples(max_examples=20)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 30))
def test_every_loss_is_its_formula_row_by_row(name, seed, scale):
    loss, literal, settings = LOSSES[name]
    logits, labels = batch(seed, scale=scale)
    labels[0] = -100
    expected = literal(logits.numpy(), labels.numpy(), **settings)
    np.testing.assert_allclose(loss(logits, labels, **settings), expected, rtol=1e-9, atol=1e-12)


@each_loss
def test_gradients_are_those_of_finite_differences(name):
    loss, _, settings = LOSSES[name]
    logits, labels = batch(1)
    labels[2] = -100
    assert torch.autograd.gradcheck(
        lambda z: loss(z, labels, **settings), logits.requires_grad_(True)
    )


@each_loss
@examples(max_examples=20)
@given(seed=st.integers(0, 10_000), cut=st.integers(0, 6))
def test_a_batch_may_be_split_anywhere(name, seed, cut):
    loss, _, settings = LOSSES[name]
    logits, labels = batch(seed)
    labels[seed % 6] = -100
    whole = loss(logits, labels, **settings)
    parts = [loss(logits[i:j], labels[i:j], **settings) for i, j in ((0, cut), (cut, 6))]
    np.testing.assert_array_equal(torch.cat(parts), whole)


@each_loss
def test_relabelling_the_classes_permutes(name):
    loss, _, settings = LOSSES[name]
    logits, labels = batch(3)
    order = torch.tensor([2, 0, 3, 1])  # new class j is old class order[j]
    moved = {
        key: [value[i] for i in order] if isinstance(value, list) else value
        for key, value in settings.items()
    }
    renamed = torch.argsort(order)[labels]
    np.testing.assert_allclose(
        loss(logits[:, order], renamed, **moved), loss(logits, labels, **settings), rtol=1e-12
    )


@each_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_values_and_gradients_are_finite_at_any_scale_in_any_precision(name, dtype, scale):
    loss, literal, settings = LOSSES[name]
    logits, labels = batch(5, scale=1.0, dtype=dtype)
    logits = (scale * logits).detach().requires_grad_(True)
    value = loss(logits, labels, **settings)
    assert value.dtype == torch.float32
    exact = literal(logits.detach().double().numpy(), labels.numpy(), **settings)
    np.testing.assert_allclose(value.detach(), exact, rtol=2e-5, atol=1e-6)
    value.sum().backward()
    assert torch.isfinite(logits.grad).all() and logits.grad.dtype == dtype


@each_loss
def test_rows_without_a_label_reach_neither_value_nor_gradient(name):
    loss, _, settings = LOSSES[name]
    logits, labels = batch(6)
    logits[1], labels[1] = torch.nan, -100
    logits.requires_grad_(True)
    value = loss(logits, labels, **settings)
    assert value[1] == 0
    value.sum().backward()
    assert torch.isfinite(logits.grad).all() and (logits.grad[1] == 0).all()


@each_loss
def test_no_row_and_one_row_are_batches(name):
    loss, _, settings = LOSSES[name]
    logits, labels = batch(7, n=1)
    assert loss(logits, labels, **settings).shape == (1,)
    assert loss(logits[:0], labels[:0], **settings).shape == (0,)


@each_loss
def test_gradients_flow_only_to_what_requires_them(name):
    loss, _, settings = LOSSES[name]
    logits, labels = batch(8)
    base = torch.nn.Linear(4, 4).double().requires_grad_(False)
    adapter = torch.nn.Linear(4, 4).double()
    loss(base(logits) + adapter(logits), labels, **settings).sum().backward()
    assert base.weight.grad is None and adapter.weight.grad.abs().sum() > 0


def test_known_reductions():
    logits, labels = batch(9)
    plain = cross_entropy(logits, labels)
    flat = [5, 5, 5, 5]
    same = {
        "no prior": logit_adjusted(logits, labels, class_counts=COUNTS, tau=0.0),
        "no focus": focal(logits, labels, gamma=0.0),
        "no margin": ldam(logits, labels, class_counts=COUNTS, max_margin=0.0, scale=1.0),
        "equal counts": logit_adjusted(logits, labels, class_counts=flat),
        "equal weights": cross_entropy(logits, labels, weight=class_balanced_weights(flat)),
    }
    for name, value in same.items():
        np.testing.assert_allclose(value, plain, rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(
        balanced_softmax(logits, labels, class_counts=COUNTS),
        logit_adjusted(logits, labels, class_counts=COUNTS, tau=1.0),
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        plain, torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    )


def test_logits_of_a_prior_lose_it_afterwards():
    """Logits log(pi q) predict by the prior; taking it away leaves log q."""
    q = torch.tensor([[0.1, 0.2, 0.3, 0.4]], dtype=torch.float64)
    prior = torch.tensor(COUNTS).double() / sum(COUNTS)
    adjusted = post_hoc_adjusted(torch.log(prior * q), class_counts=COUNTS)
    np.testing.assert_allclose(torch.softmax(adjusted, 1), q, rtol=1e-12)
    unchanged = post_hoc_adjusted(torch.log(q), class_counts=[1, 0, 1, 1], tau=0.0)
    np.testing.assert_array_equal(unchanged, torch.log(q))


def test_the_best_constant_of_the_adjusted_loss_is_flat():
    """Known answer: without features, logits that minimise the adjusted loss are equal."""
    labels = torch.repeat_interleave(torch.arange(4), torch.tensor(COUNTS))
    z = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    logit_adjusted(z.expand(len(labels), 4), labels, class_counts=COUNTS).sum().backward()
    np.testing.assert_allclose(z.grad, 0.0, atol=1e-12)
    worse = cross_entropy(z.expand(len(labels), 4), labels).sum()
    z.grad = None
    worse.backward()
    assert z.grad.abs().max() > 10  # plain cross-entropy wants the prior in its logits


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.999, 1.0])
def test_class_balanced_weights_are_inverse_effective_numbers(beta):
    found = class_balanced_weights(COUNTS, beta=beta)
    np.testing.assert_allclose(found, oracle.class_balanced_weights(COUNTS, beta), rtol=1e-6)
    assert float(found @ torch.tensor(COUNTS).float()) == pytest.approx(sum(COUNTS))


@given(
    counts=st.lists(st.integers(1, 10_000), min_size=2, max_size=8),
    beta=st.floats(0, 1),
)
def test_rarer_classes_never_weigh_less(counts, beta):
    weights = class_balanced_weights(sorted(counts, reverse=True), beta=beta)
    assert torch.isfinite(weights).all()
    assert (weights.diff() >= -1e-6 * weights[1:]).all()


@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 20))
def test_binary_cross_entropy_is_its_formula(seed, scale):
    logits, labels = multi_batch(seed, scale=scale)
    labels[0, 1] = -100
    expected = oracle.binary_cross_entropy(logits.numpy(), labels.numpy(), weight=WEIGHT)
    found = binary_cross_entropy(logits, labels.double(), weight=WEIGHT)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_binary_cross_entropy_gradients_and_extremes():
    logits, labels = multi_batch(2)
    labels[0, 1], logits[0, 1] = -100, torch.nan
    logits.requires_grad_(True)
    binary_cross_entropy(logits, labels).sum().backward()
    assert torch.isfinite(logits.grad).all() and logits.grad[0, 1] == 0
    clean, labels = multi_batch(2)
    assert torch.autograd.gradcheck(
        lambda z: binary_cross_entropy(z, labels), clean.requires_grad_(True)
    )
    huge = (1e4 * clean.detach()).to(torch.bfloat16).requires_grad_(True)
    value = binary_cross_entropy(huge, labels)
    value.sum().backward()
    assert torch.isfinite(value).all() and torch.isfinite(huge.grad).all()


REFUSED = {
    "label out of range": (
        lambda z, y: cross_entropy(z, torch.full_like(y, 4)),
        r"`labels` of `cross_entropy` must lie in 0\.\.3 \(4 of them\).*got 4",
    ),
    "negative label": (lambda z, y: focal(z, torch.full_like(y, -1)), "got -1"),
    "float labels": (lambda z, y: cross_entropy(z, y.double()), "whole-number codes.*float64"),
    "too few labels": (lambda z, y: cross_entropy(z, y[:3]), r"tensor of 6 class codes.*\(3,\)"),
    "labels as a list": (lambda z, y: cross_entropy(z, y.tolist()), "tensor of 6.*list"),
    "one column": (lambda z, y: cross_entropy(z[:, :1], y), r"at least two classes.*\(6, 1\)"),
    "whole-number logits": (lambda z, y: cross_entropy(z.long(), y), "floating-point.*int64"),
    "logits of three axes": (lambda z, y: cross_entropy(z[None], y), r"got shape \(1, 6, 4\)"),
    "weight of another length": (
        lambda z, y: cross_entropy(z, y, weight=[1.0, 2.0]),
        r"`weight` of `cross_entropy`.*each of the 4 classes.*\(2,\)",
    ),
    "a class without rows": (
        lambda z, y: logit_adjusted(z, y, class_counts={"a": 3, "b": 0, "c": 1, "d": 1}),
        r"positive.*logarithm.*got 0 for class 'b'",
    ),
    "a negative count": (
        lambda z, y: balanced_softmax(z, y, class_counts=[1, 2, -3, 4]),
        "got -3 for class '2'",
    ),
    "counts of another length": (
        lambda z, y: ldam(z, y, class_counts=[1, 2]),
        "`class_counts` of `ldam` must have a number for each of the 4 classes",
    ),
    "one count": (lambda z, y: class_balanced_weights([3]), r"at least two classes.*\(1,\)"),
    "all counts zero": (
        lambda z, y: logit_adjusted(z, y, class_counts=[0] * 4, tau=0.0),
        "not all 0",
    ),
    "beta out of range": (lambda z, y: class_balanced_weights([1, 2], beta=1.5), r"\[0, 1\]"),
    "negative gamma": (lambda z, y: focal(z, y, gamma=-1.0), "`gamma` of `focal`"),
    "labels that are neither 0 nor 1": (
        lambda z, y: binary_cross_entropy(z, torch.full((6, 4), 2)),
        "must be 0, 1 or -100.*got 2",
    ),
    "multi-label labels of one axis": (
        binary_cross_entropy,
        r"of the shape \(6, 4\) of `logits`, got shape \(6,\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_named(case):
    call, message = REFUSED[case]
    with pytest.raises(InvalidInputError, match=message):
        call(*batch(0))
