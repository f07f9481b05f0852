"""``BiasAwareArguments``: plain, checked one by one, and rebuilt from what they print."""

from __future__ import annotations

import json

import numpy as np
import pytest
from transformers import HfArgumentParser

from isonomy.adapters.arguments import BiasAwareArguments
from isonomy.errors import InvalidInputError
from tiny_training import arguments


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({}, "equity"),
        ({"strategy": "intermediate"}, "label_balance"),
        ({"strategy": "lora"}, "cross_entropy"),
        ({"strategy": "full"}, "cross_entropy"),
        ({"strategy": "layer_norms"}, "cross_entropy"),
        ({"strategy": "balanced_softmax"}, "balanced_softmax"),
        ({"strategy": "lora", "loss": "focal"}, "focal"),
        ({"multi_label": True}, "multi_label_balance"),
        ({"multi_label": True, "strategy": "lora"}, "multi_label"),
    ],
)
def test_a_strategy_stands_for_an_objective(tmp_path, asked, name):
    assert arguments(tmp_path, **asked).objective_name == name


def test_arguments_are_rebuilt_from_their_json(tmp_path):
    asked = arguments(
        tmp_path,
        strategy="ldam_drw",
        loss_settings={"max_margin": 0.3},
        class_counts={"joy": np.int64(9), "fear": 3.0},
        class_names=("joy", "fear"),
        group_names=["F", "M"],
        row_column="row",
        eval_strategy="steps",
        eval_steps=5,
        save_strategy="steps",
        save_steps=5,
        worst_group_patience=3,
    )
    again = BiasAwareArguments(**json.loads(asked.to_json_string()))
    assert again.to_dict() == asked.to_dict()
    assert again.class_counts == {"joy": 9, "fear": 3.0}


def test_a_command_line_is_read(tmp_path):
    parser = HfArgumentParser(BiasAwareArguments)
    (read,) = parser.parse_args_into_dataclasses(
        ["--output_dir", str(tmp_path), "--strategy", "equity", "--use_cpu",
         "--loss_settings", '{"weight": 0.2}', "--class_counts", "[5, 3]",
         "--class_names", "joy", "fear", "--worst_group_patience", "2",
         "--eval_strategy", "epoch", "--save_strategy", "epoch"],
    )  # fmt: skip
    assert (read.loss_settings, read.class_counts) == ({"weight": 0.2}, [5, 3])
    assert (read.class_names, read.worst_group_patience) == (["joy", "fear"], 2)


def test_patience_watches_the_worst_class_group(tmp_path):
    asked = arguments(
        tmp_path, worst_group_patience=2, eval_strategy="epoch", save_strategy="epoch"
    )
    assert asked.metric_for_best_model == "eval_worst_class_group_accuracy"
    assert asked.greater_is_better and asked.load_best_model_at_end


def test_another_metric_that_was_named_stays(tmp_path):
    asked = arguments(
        tmp_path, worst_group_patience=2, eval_strategy="epoch", metric_for_best_model="loss"
    )
    assert (asked.metric_for_best_model, asked.greater_is_better) == ("loss", False)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"strategy": "magic"}, "`strategy` of `BiasAwareArguments` must be one of 'equity'"),
        ({"loss": "lora"}, "`loss` of `BiasAwareArguments` must be one of 'cross_entropy'"),
        ({"loss_settings": "weight=2"}, "`loss_settings` of .* which is no JSON"),
        ({"loss_settings": [1]}, "`loss_settings` of .* must be a mapping"),
        ({"loss_settings": {"weight": float("nan")}}, r"`loss_settings\['weight'\]`"),
        ({"class_counts": 3}, "`class_counts` of .* or a list of numbers"),
        ({"class_counts": {}}, "`class_counts` of .* or a list of numbers"),
        ({"class_counts": [1, "many"]}, "`class_counts` of .* must be a number, got 'many'"),
        ({"class_counts": [1, -2]}, "`class_counts` of .* must lie in .*, got -2"),
        ({"class_names": "joy"}, "`class_names` of .* must be a list of names"),
        ({"class_names": ["joy", "joy"]}, "`class_names` of .* must differ, got 'joy' twice"),
        ({"group_names": ["", "M"]}, "`group_names` of .* must be a list of names"),
        ({"multi_label": "yes"}, "`multi_label` of .* must be True or False, got 'yes'"),
        ({"tail_rule": "rank"}, "`tail_rule` of .* must be one of 'count'"),
        ({"tail_rule": "ratio", "loss": "focal"}, "`tail_rule` of .* 'focal', which parts no"),
        ({"label_smoothing_factor": 0.1}, "`label_smoothing_factor` of .* must be 0"),
        ({"worst_group_patience": 0}, "`worst_group_patience` of .* whole number"),
        ({"worst_group_patience": 2}, "`worst_group_patience` of .* go with an `eval_strategy`"),
        ({"group_column": "labels"}, "`group_column` of .*, which names the labels"),
        ({"row_column": "groups"}, "`row_column` of .*, which names `group_column` too"),
    ],
)
def test_each_wrong_argument_is_named(tmp_path, asked, message):
    with pytest.raises(InvalidInputError, match=message):
        arguments(tmp_path, **asked)
