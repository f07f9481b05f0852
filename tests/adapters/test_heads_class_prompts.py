"""CLIP by class names equals the literal formula, kept text embeddings are never stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from isonomy.adapters.heads import ClassNamePrompts, lora_model
from isonomy.errors import InvalidInputError
from reference.class_prompts import class_prompt_logits
from tiny_clip import tiny_clip
from tiny_models import tiny

CLASSES = ["nurse", "software engineer", "attorney"]
TEMPLATES = ["a photo of a {label}.", "one {label} at work in the city, seen from the north"]
BOUND = 1e-4


def pictures(n: int = 4) -> torch.Tensor:
    return torch.randn(n, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def literal(model: Any, processor: Any, templates: list[str]) -> torch.Tensor:
    prompts = [[template.replace("{label}", name) for template in templates] for name in CLASSES]
    return class_prompt_logits(model, processor.tokenizer, pictures(), prompts)


def text_calls(model: Any) -> list[int]:
    calls: list[int] = []
    model.text_model.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("templates", [TEMPLATES[:1], TEMPLATES])
def test_logits_equal_the_formula_one_prompt_at_a_time(templates: list[str]) -> None:
    model, processor = tiny_clip()
    wanted = literal(model, processor, templates)
    head = ClassNamePrompts(model, processor, CLASSES, template=templates)
    found = head(pictures()).logits
    assert found.dtype == torch.float32
    assert torch.allclose(found, wanted, atol=BOUND * float(wanted.abs().max().detach()))
    assert torch.allclose(head.text_embeddings().norm(dim=-1), torch.ones(3))


def test_bound_can_tell_a_mean_of_unnormalised_embeddings_and_of_one_template() -> None:
    model, processor = tiny_clip()
    wanted = literal(model, processor, TEMPLATES)
    other = literal(model, processor, TEMPLATES[:1])
    assert (wanted - other).abs().max() > 100 * BOUND * wanted.abs().max()


def test_one_template_equals_the_models_own_logits() -> None:
    model, processor = tiny_clip()
    head = ClassNamePrompts(model, processor, CLASSES, template="{label}")
    text = processor.tokenizer(CLASSES, padding=True, return_tensors="pt")
    wanted = model(**text, pixel_values=pictures()).logits_per_image
    assert torch.allclose(
        head(pictures()).logits, wanted, atol=BOUND * float(wanted.abs().max().detach())
    )


def test_order_of_classes_is_the_order_of_columns() -> None:
    model, processor = tiny_clip()
    forth = ClassNamePrompts(model, processor, CLASSES)(pictures()).logits
    back = ClassNamePrompts(model, processor, CLASSES[::-1])(pictures()).logits
    assert torch.allclose(forth, back.flip(1), atol=1e-5)


def test_frozen_text_side_is_read_once() -> None:
    model, processor = tiny_clip()
    head = ClassNamePrompts(lora_model(model, tower="vision"), processor, CLASSES)
    calls = text_calls(model)
    for _ in range(3):
        head(pictures(), labels=torch.tensor([0, 1, 2, 0])).loss.backward()
    assert len(calls) == 1
    assert not head.text_embeddings().requires_grad


@pytest.mark.parametrize("tower", ["text", "both"])
def test_trained_text_side_gets_its_gradient_in_every_pass(tower: Any) -> None:
    model, processor = tiny_clip()
    head = ClassNamePrompts(lora_model(model, tower=tower, r=2), processor, CLASSES).train()
    calls = text_calls(model)
    for _ in range(2):
        head(pictures(), labels=torch.tensor([0, 1, 2, 0])).loss.backward()
    assert len(calls) == 2
    got = {n.split("base_model.model.")[1].split(".")[0] for n, p in head.named_parameters()
           if p.grad is not None and p.grad.abs().max() > 0}  # fmt: skip
    assert got == ({"text_model"} if tower == "text" else {"text_model", "vision_model"})
    assert all(p.grad is None for n, p in head.named_parameters() if "lora_" not in n)


def test_kept_embeddings_follow_training_steps_and_switched_adapters() -> None:
    model, processor = tiny_clip()
    adapted = lora_model(model, r=2, random_state=0)
    head = ClassNamePrompts(adapted, processor, CLASSES)

    def fresh() -> torch.Tensor:
        return ClassNamePrompts(adapted, processor, CLASSES)(pictures()).logits.detach()

    with torch.no_grad():
        before = head(pictures()).logits
    optimizer = torch.optim.SGD([p for p in head.parameters() if p.requires_grad], lr=5.0)
    head(pictures(), labels=torch.tensor([0, 1, 2, 0])).loss.backward()
    optimizer.step()
    with torch.no_grad():  # no train() or eval() in between
        after = head(pictures()).logits
        assert not torch.allclose(after, before)
        assert torch.allclose(after, fresh(), atol=1e-6)
        with adapted.disable_adapter():
            assert torch.equal(head(pictures()).logits, before)
        assert torch.equal(head(pictures()).logits, after)
        adapted.merge_adapter()
        assert torch.allclose(head(pictures()).logits, fresh(), atol=1e-6)


def test_kept_embeddings_follow_loaded_weights_and_edits_behind_the_counter() -> None:
    model, processor = tiny_clip()
    head = ClassNamePrompts(model.requires_grad_(False), processor, CLASSES)
    first = head(pictures()).logits
    model.load_state_dict(tiny_clip(seed=1)[0].state_dict())
    second = head(pictures()).logits
    assert not torch.allclose(first, second)
    model.text_projection.weight.data.mul_(torch.linspace(-1, 1, 8)[:, None])
    assert not torch.allclose(head.eval()(pictures()).logits, second)


def test_embeddings_kept_in_inference_mode_can_be_trained_against() -> None:
    model, processor = tiny_clip()
    head = ClassNamePrompts(lora_model(model, tower="vision"), processor, CLASSES)
    with torch.inference_mode():
        head(pictures())
    head(pictures(), labels=torch.tensor([0, 1, 2, 0])).loss.backward()
    slopes = [weight.grad for weight in head.parameters() if weight.requires_grad]
    assert any(slope is not None and bool(slope.any()) for slope in slopes)


def test_dropout_of_a_frozen_text_side_is_not_frozen_into_the_kept_embeddings() -> None:
    model, processor = tiny_clip(attention_dropout=0.5)
    wanted = ClassNamePrompts(model, processor, CLASSES)(pictures()).logits
    head = ClassNamePrompts(lora_model(model, tower="vision"), processor, CLASSES).train()
    assert torch.allclose(head(pictures()).logits, wanted, atol=1e-5)
    assert model.text_model.training


def test_pictures_of_any_kind_become_pixels(tmp_path: Path) -> None:
    model, processor = tiny_clip()
    head = ClassNamePrompts(model, processor, CLASSES)
    array = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(array).save(tmp_path / "a.png")
    batch = head.encode([array, Image.fromarray(array), str(tmp_path / "a.png")])
    assert batch["pixel_values"].shape == (3, 3, 16, 16)
    assert torch.equal(batch["pixel_values"][0], batch["pixel_values"][1])
    assert torch.equal(batch["pixel_values"][0], batch["pixel_values"][2])
    assert head(**batch).logits.shape == (3, 3)
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(InvalidInputError, match="Row 1 .* to `ClassNamePrompts.encode`"):
        head.encode([array, tmp_path / "b.png"])


def test_long_prompts_are_cut_at_the_context() -> None:
    model, processor = tiny_clip()
    names = ["nurse " * 40, "attorney"]
    assert ClassNamePrompts(model, processor, names)(pictures()).logits.isfinite().all()


@pytest.mark.parametrize(
    ("classes", "template", "match"),
    [
        (["nurse"], "{label}", "at least 2 classes"),
        (["nurse", "nurse"], "{label}", "'nurse' stands there 2 times"),
        (CLASSES, "a photo", r"sentences with \{label\}"),
        (CLASSES, [], "at least one"),
    ],
)
def test_wrong_classes_and_templates_are_refused(classes: Any, template: Any, match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        ClassNamePrompts(*tiny_clip(), classes, template=template)


def test_a_single_tower_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="must be a whole CLIP.*got a CLIPVisionModel"):
        ClassNamePrompts(*tiny("clip_vision"), CLASSES)


def test_labels_out_of_range_are_named() -> None:
    head = ClassNamePrompts(*tiny_clip(), CLASSES)
    with pytest.raises(InvalidInputError, match=r"`ClassNamePrompts.forward`.*0 to 2, got 3"):
        head(pictures(), labels=torch.tensor([0, 3, 1, 0]))
