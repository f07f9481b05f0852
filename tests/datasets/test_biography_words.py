"""The vocabulary: complete, distinct, and with stereotypes that point somewhere."""

from itertools import pairwise

from isonomy.datasets._vocabulary import GENDERS, read_vocabulary


def test_28_occupations_with_distinct_phrases():
    occupations, _ = read_vocabulary()
    assert len({o.name for o in occupations}) == 28
    duties = [d for o in occupations for d in o.duties]
    assert len(duties) == len(set(duties)) == 28 * 8


def test_every_pull_goes_to_another_occupation_and_stereotypes_exist_for_both_genders():
    occupations, _ = read_vocabulary()
    names = {o.name for o in occupations}
    for o in occupations:
        assert 0.0 < o.share_of_women < 1.0
        assert o.pulls, o.name
        assert o.noisy_gender in {*GENDERS, None}
        for gender, (target, strength) in o.pulls.items():
            assert gender in GENDERS and target in names - {o.name}
            assert 0.0 < strength <= 1.0
    for gender in GENDERS:
        assert sum(gender in o.pulls for o in occupations) >= 8
        assert any(o.noisy_gender == gender for o in occupations)


def test_articles_agree_with_the_sound_that_follows():
    occupations, sentences = read_vocabulary()
    phrases = [p for o in occupations for p in (*o.tools, *o.degrees, *o.employers, *o.awards)]
    phrases += [p for o in occupations for p in o.duties] + list(sentences.generic)
    for phrase in phrases:
        words = f" {phrase} ".split(" ")
        for article, word in pairwise(words):
            # "a university", "an x-ray", "an hour" follow the sound, none is misspelt here
            vowel = word[:1] in tuple("aeiou") and not word.startswith(("uni", "eu", "one"))
            if article == "a" and word:
                assert not vowel, phrase
            if article == "an":
                assert vowel or word.startswith("x-ray"), phrase
