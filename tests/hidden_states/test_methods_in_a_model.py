"""A method fitted on collected states, attached to its model, decides as it does alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="hidden states need the extra `llm`")
pytest.importorskip("transformers", reason="hidden states need the extra `llm`")

from isonomy.errors import FoldError, FoldWarning, InvalidInputError  # noqa: E402
from isonomy.hidden_states import attached, collect, fit_method, fold, layer_curves  # noqa: E402
from tiny_biographies import biographies  # noqa: E402
from tiny_models import tiny  # noqa: E402

N = 240


@pytest.fixture(scope="module")
def collected() -> Any:
    data = biographies(N)
    model, tokenizer = tiny("llama", task="classification")
    columns = {"text": "bio", "label": "job", "group": "gender"}
    found = collect(model, data, **columns, tokenizer=tokenizer, rows="memory")
    return model, tokenizer, data, found


def logits_of(model: Any, tokenizer: Any, texts: Any) -> Any:
    with torch.no_grad():
        return model(**tokenizer(texts, return_tensors="pt", padding=True)).logits.double().numpy()


@pytest.mark.parametrize("name", ["calibrated_offsets", "calibrated_offsets_inferred", "mimic"])
def test_the_steered_model_computes_the_head_of_the_moved_states(name: str, collected: Any) -> None:
    model, tokenizer, data, found = collected
    X, y, group = found.rows(None)
    head = model.score
    assert len(head.weight) == len(set(data["job"]))
    fitted = fit_method(name, X=X, y=y, sensitive_features=group, head=head, random_state=0)
    moved = fitted.transform(X, sensitive_features=group)[:32]
    weight = head.weight.detach().double().numpy()
    expected = moved.astype(np.float64) @ weight.T
    given = {"sensitive_features": group[:32]} if fitted.group_use == "given" else {}
    before = logits_of(model, tokenizer, data["bio"][:32])
    with attached(model, fitted, **given):
        steered = logits_of(model, tokenizer, data["bio"][:32])
    assert np.abs(steered - before).max() > 1e-3
    scale = np.abs(expected).max()
    np.testing.assert_allclose(steered, expected, atol=2e-5 * scale)
    np.testing.assert_array_equal(logits_of(model, tokenizer, data["bio"][:32]), before)


def test_translations_fold_and_shifts_by_a_guess_do_not(collected: Any) -> None:
    model, tokenizer, data, found = collected
    X, y, group = found.rows(None)
    rows: Any = {"X": X, "y": y, "sensitive_features": group, "head": model.score}
    given = fit_method("calibrated_offsets", **rows, random_state=0)
    name = given.groups[0]
    with pytest.warns(FoldWarning, match=r"score\.bias"):  # this head has none to hold the shift
        changed = fold(model, given, group=name)
    folded = logits_of(changed, tokenizer, data["bio"][:8])
    with attached(model, given, sensitive_features=np.full(8, name)):
        hooked = logits_of(model, tokenizer, data["bio"][:8])
    np.testing.assert_allclose(folded, hooked, atol=1e-5 * np.abs(hooked).max())
    guessed = fit_method("calibrated_offsets_inferred", **rows, random_state=0)
    with pytest.raises(FoldError, match="infer|guess|posterior"):
        fold(model, guessed)
    post = fit_method("linear_post", X=X, y=y, sensitive_features=group, random_state=0)
    with (
        pytest.raises(InvalidInputError, match="is no map of the hidden state"),
        attached(model, post),
    ):
        pass


def test_curves_of_collected_layers(collected: Any) -> None:
    model, tokenizer, data, _ = collected
    columns = {"text": "bio", "label": "job", "group": "gender"}
    found = collect(
        model, data, **columns, layers="all", site="residual", tokenizer=tokenizer, rows="memory"
    )
    curves = layer_curves(found, n_boot=50)
    assert curves.layers == tuple(found) and curves.best() in curves.layers
    on_moments = fit_method("mean_matching", moments=found[0])
    X, y, group = found.rows(0)
    on_rows = fit_method("mean_matching", X=X, y=y, sensitive_features=group)
    for name, by_rows in on_rows.steerer.maps_.items():
        offset = on_moments.steerer.maps_[name].offset
        np.testing.assert_allclose(offset, by_rows.offset, atol=1e-5)
