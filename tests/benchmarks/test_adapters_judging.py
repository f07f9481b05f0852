"""The pure parts of benchmarks/adapters.py: metrics, derived methods, batches, goals, tables."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from _adapters.budget import _word
from _adapters.cells import Cell, Run, fits_images, names_of, runs_of
from _adapters.derived import DERIVED, Logits, derive
from _adapters.figure import draw_tails
from _adapters.goals import goal_lines
from _adapters.judging import judge, propensity, softmax
from _adapters.methods import METHODS, Recipe, named
from _adapters.report import BEGIN, END, replace_section
from _adapters.results import Results, mean_and_spread
from _adapters.tables import cost_table, difference_table, main_table, rival_table, tuning_table

torch = pytest.importorskip("torch")
training = pytest.importorskip("_adapters.training")


# ---- metrics


def test_propensity_and_discriminability_by_hand():
    logits = np.array([[4.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    y = np.array([0, 0, 1])
    # centred rows: (2, -2), (1, -1), (-1.5, 1.5)
    found = propensity(logits, y)
    with_label, without = np.array([1.5, 1.5]), np.array([-1.5, -1.5])
    assert found["propensity"] == pytest.approx(without.std())
    assert found["discriminability"] == pytest.approx((with_label - without).mean())
    assert found["discriminability_min"] == pytest.approx(3.0)


def test_what_is_added_to_all_logits_of_a_row_changes_no_metric():
    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=(60, 4)), rng.integers(0, 4, 60)
    counts = np.array([40, 20, 10, 5])
    one = judge(logits, y, counts)
    two = judge(logits + rng.normal(size=(60, 1)), y, counts)
    recall = one.pop("recall"), two.pop("recall")
    assert one == pytest.approx(two)
    assert recall[0] == recall[1]
    assert one["gap"] == pytest.approx(one["head"] - one["tail"])


def test_groups_add_their_gap_and_classes_without_test_rows_have_no_recall():
    logits = np.eye(3)[[0, 0, 1, 1]]
    found = judge(logits, np.array([0, 0, 1, 1]), np.array([9, 5, 1]), np.array(list("abab")))
    assert found["recall"] == [1.0, 1.0, None]
    assert found["rms_tpr_gap"] == 0
    assert math.isnan(found["tail"])


# ---- methods that train nothing


def biased(seed=0):
    """Logits that are right but for a prior; the validation rows are balanced."""
    rng = np.random.default_rng(seed)
    counts = np.array([400, 60, 12, 6])
    prior = np.log(counts / counts.sum())

    def part(n):
        y = np.repeat(np.arange(4), n)
        return np.eye(4)[y] * 1.5 + rng.normal(size=(4 * n, 4)) + prior, y

    val, y_val = part(30)
    test, y_test = part(60)
    return Logits(val, y_val, test, y_test, counts)


@pytest.mark.parametrize("name", DERIVED)
def test_derived_methods_help_rare_classes(name):
    run = biased()
    moved = derive(name, run, {"tau": 1.0})
    before, after = (judge(r.test, r.y_test, r.counts) for r in (run, moved))
    assert after["tail"] > before["tail"] + 0.1
    assert after["macro_f1"] > before["macro_f1"]
    assert moved.val.shape == run.val.shape


def test_post_hoc_takes_off_the_prior():
    run = biased()
    moved = derive("post_hoc", run, {"tau": 1.0})
    expected = run.test - np.log(run.counts / run.counts.sum())
    np.testing.assert_allclose(moved.test, expected)
    none = derive("post_hoc", run, {"tau": 0.0})
    np.testing.assert_array_equal(none.test, run.test)


def test_the_tuned_tau_is_as_good_as_any_on_the_validation_rows():
    run = biased(1)
    tuned = derive("post_hoc_tuned", run, {})
    best = judge(tuned.val, run.y_val, run.counts)["macro_f1"]
    for tau in (0.0, 0.5, 1.0, 1.5, 2.0):
        other = derive("post_hoc", run, {"tau": tau})
        assert judge(other.val, run.y_val, run.counts)["macro_f1"] <= best


def test_batch_calibration_evens_out_the_mean_prediction_without_labels():
    run = biased()
    one = derive("batch_calibration", run, {})
    shuffled = Logits(run.val, run.y_val[::-1], run.test, run.y_test[::-1], run.counts)
    np.testing.assert_array_equal(one.test, derive("batch_calibration", shuffled, {}).test)
    spread = [np.ptp(softmax(z).mean(axis=0)) for z in (run.test, one.test)]
    assert spread[1] < spread[0]


# ---- the training loop's parts


@pytest.mark.parametrize("sampling", ["shuffle", "over", "under"])
def test_batches_are_as_many_as_asked_and_drawn_by_the_seed_alone(sampling):
    y = np.repeat([0, 1, 2], [90, 30, 10])
    lengths = np.arange(len(y)) % 7
    recipe = Recipe(sampling=sampling, steps=25, batch_size=8)
    one, two, other = (list(training.batches(y, lengths, recipe, seed=s)) for s in (0, 0, 1))
    assert len(one) == 25
    assert all((a == b).all() for a, b in zip(one, two, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    share = np.bincount(y[np.concatenate(one)], minlength=3) / sum(map(len, one))
    expected = [90 / 130, 30 / 130, 10 / 130] if sampling == "shuffle" else [1 / 3] * 3
    np.testing.assert_allclose(share, expected, atol=0.12)
    if sampling == "under":  # as many rows of every class as the rarest has
        assert len(set(np.concatenate(one).tolist())) <= 30


def test_rows_of_a_pass_are_met_once():
    y = np.zeros(64, dtype=int)
    recipe = Recipe(steps=8, batch_size=8)
    found = np.concatenate(list(training.batches(y, np.arange(64), recipe, seed=0)))
    assert sorted(found.tolist()) == list(range(64))


def test_fewer_rows_than_a_batch_are_a_batch():
    found = list(training.batches(np.zeros(5, int), np.arange(5), Recipe(steps=3), seed=0))
    assert [sorted(rows.tolist()) for rows in found] == [list(range(5))] * 3


def test_the_rate_rises_and_falls_to_nothing():
    recipe = Recipe(steps=100, warmup=0.1)
    rates = [training._rate(step, recipe) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == 1.0
    assert rates[100] == 0
    assert (np.diff(rates[9:]) <= 0).all()


def test_prediction_keeps_the_order_of_rows_whatever_their_length():
    feed = training.Feed([[5], [1, 1, 1], [2, 2], [9, 9, 9, 9]], pad=0)

    class Summing(torch.nn.Linear):
        def forward(self, input_ids, attention_mask):
            assert (input_ids[attention_mask == 0] == 0).all()
            return SimpleNamespace(logits=torch.stack([input_ids.sum(1), attention_mask.sum(1)], 1))

    found = training.predict(Summing(1, 1), feed, batch_size=2)
    assert found.tolist() == [[5, 1], [3, 3], [4, 2], [36, 4]]


def test_images_are_fed_as_they_are():
    feed = training.Feed(np.zeros((3, 3, 4, 4), dtype=np.float32))
    assert feed.batch([0, 2])["pixel_values"].shape == (2, 3, 4, 4)
    assert feed.lengths.tolist() == [0, 0, 0]


def test_perplexity_is_that_of_the_language_model():
    import transformers
    from _adapters.perplexity import perplexity

    config = transformers.LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, tie_word_embeddings=True, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    causal = transformers.LlamaForCausalLM(config).eval()
    texts = {"one": [1, 5, 7, 9], "two": [1, 3]}

    class Tokenizer:
        pad_token_id = 0

        def __call__(self, wanted, **_):
            return {"input_ids": [texts[text] for text in wanted]}

    total = n = 0
    for ids in texts.values():
        row = torch.tensor([ids])
        total += causal(input_ids=row, labels=row).loss.item() * (len(ids) - 1)
        n += len(ids) - 1
    expected = math.exp(total / n)
    assert perplexity(causal, Tokenizer(), list(texts)) == pytest.approx(expected, rel=1e-5)
    classifier = transformers.LlamaForSequenceClassification(config).eval()
    classifier.model.load_state_dict(causal.model.state_dict())
    assert perplexity(classifier, Tokenizer(), list(texts)) == pytest.approx(expected, rel=1e-5)
    classifier.config.tie_word_embeddings = False
    assert perplexity(classifier, Tokenizer(), list(texts)) is None


# ---- results, goals, tables


def made_results(ours, *, seeds=(0, 1, 2), ratios=(10, 50)):
    """Plain LoRA at head .70, tail .40; ``ours`` changes what equity adds to them."""
    cells = [Cell("banking77", ratio, seed) for ratio in ratios for seed in seeds]
    found = {"lora": {}, "logit_adjusted": {}, "equity": {}}
    adds = {"lora": {}, "logit_adjusted": {"tail": 0.08, "macro_f1": 0.02}, "equity": ours}
    for name, add in adds.items():
        for cell in cells:
            noise = 0.01 * (cell.seed - 1)
            value = {"accuracy": 0.55, "macro_f1": 0.5, "head": 0.7, "medium": 0.5, "tail": 0.4,
                     "cobias": 0.3, "rsd": 0.4, "bias_score": 0.2, "share": 0.0123,
                     "step_seconds": 0.1, "perplexity": None}  # fmt: skip
            value = {
                k: v if k in {"share", "step_seconds"} or v is None else v + add.get(k, 0) + noise
                for k, v in value.items()
            }
            found[name][cell] = {**value, "gap": value["head"] - value["tail"]}
    recipes = {name: METHODS[name].recipe for name in found}
    tuning = {"lora": [({"lr": 0.002}, 0.41), ({"loss": {"tau": 1.0}}, 0.52)]}
    return Results(tuple(cells), found, recipes, tuning)


def test_goals_say_reached_with_the_figures():
    lines = goal_lines(made_results({"tail": 0.12, "head": -0.005, "macro_f1": 0.05}))
    tail, parts, gap, f1 = (line.split(": ", 1)[1] for line in lines)
    assert tail.startswith("tail +5 to +15 points with the head within 1: reached, tail +12.0, ")
    assert "head -0.5 in the mean over 6 cells" in tail
    assert "in 2 of 2 (banking77 10:1 tail +12.0, head -0.5; banking77 50:1" in parts
    assert "NOT reached, 30.0 to 17.5 points (42 % of it is gone)" in gap
    assert f1.startswith("macro-F1 ahead of tuned logit adjustment, balanced softmax and LDAM")
    assert ": reached (LoRA, logit-adjusted loss +3.0 ± 0.0" in f1


@pytest.mark.parametrize(
    ("ours", "line", "words"),
    [
        ({"tail": 0.12, "head": -0.02}, 0, "NOT reached, tail +12.0, head -2.0"),
        ({"tail": 0.04}, 0, "NOT reached, tail +4.0, head +0.0"),
        ({"tail": 0.2}, 0, "reached, tail +20.0 (more than asked)"),
        ({"tail": 0.2, "head": 0.02}, 2, ": reached, 30.0 to 12.0 points"),
        ({"macro_f1": 0.01}, 3, "NOT reached (LoRA, logit-adjusted loss -1.0"),
    ],
    ids=["head-lost", "tail-little", "tail-much", "gap-halved", "f1-behind"],
)
def test_goals_are_as_strict_as_the_issue(ours, line, words):
    assert words in goal_lines(made_results(ours))[line]


def test_goals_are_judged_where_the_issue_judges_them_and_told_of_every_part():
    results = made_results({"tail": 0.12}, ratios=(2, 10))
    del results.found["logit_adjusted"]
    lines = goal_lines(results)
    assert "in the mean over 3 cells" in lines[0]
    assert "in 2 of 2 (banking77 2:1 tail +12.0" in lines[1]
    assert lines[3].endswith("NOT judged, none of them was run.")


@pytest.mark.parametrize(
    ("pair", "word"),
    [((5, 4.5), " (persists)"), ((5, 3), " (shrinks)"), ((5, 0.2), " (gone)"), ((-1, 2), "")],
)
def test_a_lead_persists_shrinks_or_is_gone(pair, word):
    assert _word(*pair) == word


def test_step_time_is_a_goal_of_its_own():
    timed = {"rounds": 7, "ratios": {"equity": 1.02, "other": 1.05}, "start_in_steps": {"e": 30.0}}
    lines = goal_lines(made_results({}), step_time=timed)[-3:]
    assert "equity at most 1.03 times plain LoRA's: reached, 1.020" in lines[0]
    assert "NOT reached, 1.050" in lines[1]
    assert "start e at most the time of 20 steps: NOT reached, 30.0 steps" in lines[2]


def test_tables_pair_by_cell_and_leave_out_what_is_not_there():
    results = made_results({"tail": 0.1})
    del results.found["equity"][Cell("banking77", 50, 2)]
    assert "| equity (start, loss, finish) | 5 | +0.0 ± 0.0 |" in difference_table(results)
    shown = main_table(results, results.part("banking77", 50))
    assert "| LoRA, cross-entropy | 3 | 0.550 ± 0.010 |" in shown
    assert "| equity (start, loss, finish) | 2 | 0.545 ± 0.007 |" in shown
    assert "-2.0 ± 0.0; ahead in 0 of 5" in rival_table(results, ["equity"])
    assert "| LoRA, cross-entropy | 1.23 | 0.100 |  |  |" in cost_table(results)
    assert "lr 0.002: 0.410; **" not in tuning_table(results)
    assert "lr 0.002: 0.410; tau 1: **0.520**" in tuning_table(results)


def test_the_mean_of_nothing_is_nan_and_one_value_has_no_spread():
    assert math.isnan(mean_and_spread([])[0])
    assert mean_and_spread([2.0])[0] == 2
    assert math.isnan(mean_and_spread([2.0])[1])
    assert mean_and_spread([1.0, 3.0]) == (2.0, pytest.approx(math.sqrt(2)))


def test_panels_go_on_in_a_second_row(tmp_path):
    pytest.importorskip("matplotlib")
    results = made_results({"tail": 0.1}, seeds=(0,), ratios=(2, 5, 10, 25, 50))
    content = draw_tails(results, tmp_path / "tails.png").read_bytes()
    width, height = (int.from_bytes(content[i : i + 4], "big") for i in (16, 20))
    assert 650 < height < 900 < width


def test_a_section_is_replaced_between_its_marks_and_the_rest_stays():
    first = replace_section("# Results\n\nOld.\n", "one")
    assert first == f"# Results\n\nOld.\n\n{BEGIN}\n\none\n\n{END}\n"
    again = replace_section(first + "\n## Later\n", "two")
    assert again == f"# Results\n\nOld.\n\n{BEGIN}\n\ntwo\n\n{END}\n\n## Later\n"


def test_images_are_for_methods_that_read_no_words():
    cells = [Cell("digits", 10, 0)]
    methods = named(["zero_shot", "lora", "equity", "intermediate", "post_hoc"])
    recipes = {method.name: method.recipe for method in methods}
    runs = runs_of(cells, methods, recipes, frozenset({"digits"}))
    assert [run.method for run in runs] == ["lora", "equity"]
    assert not fits_images(METHODS["single_layer"])
    assert runs[0] == Run(cells[0], "lora", METHODS["lora"].recipe)


def test_patterns_name_methods_in_the_order_of_the_tables():
    assert names_of(["*_only", "lora"])[:2] == ["lora", "loss_only"]
