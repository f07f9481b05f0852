"""Class names in sentences: readable, distinct, with the right article."""

import pytest

from isonomy.datasets import PROMPT_TEMPLATES, class_name_prompts, readable_name
from isonomy.datasets.class_prompts import distinct_names
from isonomy.errors import InvalidInputError


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("001.Black_footed_Albatross", "Black footed Albatross"),
        ("apple_pie", "apple pie"),
        ("Acura RL Sedan 2012", "Acura RL Sedan 2012"),
        ("007.", "007."),
        ("7", "7"),
        ("2.5_litre", "2.5 litre"),
        ("_", "_"),
    ],
)
def test_names_are_cleaned_for_people(written, read):
    assert readable_name(written) == read


def test_names_that_would_coincide_stay_apart():
    assert distinct_names(["001.Crow", "002.Crow", "003.Red_Kite"]) == (
        "001.Crow",
        "002.Crow",
        "Red Kite",
    )


def test_every_class_is_in_every_template():
    prompts = class_name_prompts(["apple pie", "ramen"], ["{article} {label}!", "see {label}"])
    assert prompts == [["an apple pie!", "see apple pie"], ["a ramen!", "see ramen"]]


@pytest.mark.parametrize("name", PROMPT_TEMPLATES)
def test_templates_have_names(name):
    prompts = class_name_prompts(["owl", "{label}"], name)
    assert len(prompts[0]) == len(PROMPT_TEMPLATES[name])
    assert all("owl" in prompt and "{" not in prompt for prompt in prompts[0])


@pytest.mark.parametrize(
    ("classes", "templates", "message"),
    [
        ([], "photo", r"`classes` passed to `class_name_prompts` must be the names .* got \[\]"),
        ("owl", "photo", "must be the names of the classes, got 'owl'"),
        (["owl", " "], "photo", "must be the names of the classes"),
        (["owl", "owl"], "photo", "must differ, but 'owl' and 'owl' give the same prompt"),
        (["owl"], "a photo", "must be sentences with {label}.* got 'a photo'"),
        (["owl"], ["{label} {size}"], "must be sentences with {label}.* got '{label} {size}'"),
        (["owl"], [], "`templates` of `class_name_prompts` must hold at least one, got none"),
        (["owl"], [3], "must be sentences with {label}.* got 3"),
    ],
)
def test_wrong_use_is_one_sentence(classes, templates, message):
    with pytest.raises(InvalidInputError, match=message):
        class_name_prompts(classes, templates)
