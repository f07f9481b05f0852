"""Label words and class-name prompts are trained, saved and resumed like any classifier."""

from __future__ import annotations

import pytest
import torch
from transformers import CLIPModel

from isonomy.adapters.heads import ClassNamePrompts, LabelWords, load_classifier, lora_model
from tiny_models import image_processor, tiny, tokenizer
from tiny_training import losses, trainer, weights

CLASSES = ("nurse", "dentist", "attorney")
TEXTS = ("She works as a nurse", "He studied law", "Her practice opened", "He writes")


def label_words():
    base, reader = tiny("llama")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LabelWords(lora_model(base, r=2), reader, CLASSES)


def clip():
    pieces = {side: tiny(f"clip_{side}")[0].config for side in ("text", "vision")}
    config = CLIPModel.config_class(
        text_config=pieces["text"].to_dict(), vision_config=pieces["vision"].to_dict(),
        projection_dim=8,
    )  # fmt: skip
    from transformers import CLIPProcessor

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        processor = CLIPProcessor(image_processor(), tokenizer("clip_text"))
        return ClassNamePrompts(lora_model(CLIPModel(config), r=2), processor, CLASSES)


def data_of(head):
    codes = [0, 0, 1, 1, 2, 0, 1, 2] * 2
    if isinstance(head, ClassNamePrompts):
        generator = torch.Generator().manual_seed(0)
        pictures = torch.randn(len(codes), 3, 16, 16, generator=generator)
        return [{"pixel_values": p, "labels": c} for p, c in zip(pictures, codes, strict=True)]
    read = head.encode([TEXTS[i % 4] for i in range(len(codes))])
    return [{**{k: v[i] for k, v in read.items()}, "labels": code} for i, code in enumerate(codes)]


@pytest.mark.parametrize("make", [label_words, clip], ids=["label words", "clip"])
def test_a_head_is_trained_judged_and_resumed_to_the_bit(tmp_path, make):
    asked = {"max_steps": 3, "save_strategy": "steps", "save_steps": 2}
    alone = trainer(tmp_path, of=make(), data=data_of(make()), **asked)
    start = weights(alone)
    alone.train()
    assert alone.task.classes == CLASSES and len(losses(alone)) == 3
    assert any(not torch.equal(start[name], value) for name, value in weights(alone).items())
    assert "eval_tail_accuracy" in alone.evaluate(data_of(make()))

    resumed = trainer(tmp_path, of=make(), data=data_of(make()), **asked)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    for name, value in weights(alone).items():
        assert torch.equal(weights(resumed)[name], value), name


def test_a_checkpoint_of_label_words_is_read_as_a_classifier(tmp_path):
    head = label_words()
    made = trainer(tmp_path, of=head, data=data_of(head), max_steps=2,
                   save_strategy="steps", save_steps=2)  # fmt: skip
    made.train()
    read, _ = load_classifier(tmp_path / "checkpoint-2", model=tiny("llama")[0])
    batch = {k: v for k, v in head.encode(list(TEXTS)).items()}
    assert torch.equal(read.eval()(**batch).logits, head.eval()(**batch).logits)


def test_the_best_weights_of_a_head_come_back(tmp_path):
    scores, head = iter([0.9, 0.1]), label_words()
    kept = []
    made = trainer(
        tmp_path, of=head, data=data_of(head), eval_dataset=data_of(head), max_steps=2,
        save_strategy="steps", save_steps=1, eval_strategy="steps", eval_steps=1,
        load_best_model_at_end=True, metric_for_best_model="score",
        compute_metrics=lambda _: (kept.append(weights(made)), {"score": next(scores)})[1],
    )  # fmt: skip
    made.train()
    assert all(torch.equal(weights(made)[name], value) for name, value in kept[0].items())


def test_a_checkpoint_of_other_trainable_weights_is_refused(tmp_path):
    from isonomy.errors import InvalidInputError

    head, asked = label_words(), {"save_strategy": "steps", "save_steps": 2}
    trainer(tmp_path, of=head, data=data_of(head), max_steps=2, **asked).train()
    other = label_words()
    next(p for p in other.parameters() if p.requires_grad).requires_grad_(False)
    with pytest.raises(InvalidInputError, match="same trainable weights, but .* in one of the two"):
        trainer(tmp_path, of=other, data=data_of(other), max_steps=4, **asked).train(True)
