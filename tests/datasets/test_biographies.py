"""make_biographies: the counts, the words and the gap that its parameters plant."""

import re

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from isonomy.datasets import make_biographies
from isonomy.datasets._vocabulary import read_vocabulary
from isonomy.errors import InvalidInputError
from reference.planted_gap import permutation_p_value, rms_tpr_gap, tpr_by_cell

NOTHING = {"bias": 0.0, "prior_bias": 0.0, "noise_bias": 0.0}
GENDERED = (
    "he she his her hers him himself herself man men woman women male female boy girl boys girls "
    "mother father wife husband son daughter brother sister mr mrs ms lady gentleman king queen"
)


def judge(seed, **parameters):
    """The demo's classifier on a 70/30 split; (test labels, predictions, genders)."""
    data = make_biographies(random_state=seed, **parameters)
    cell = np.char.add(data.occupation, data.gender)
    train, test = train_test_split(
        np.arange(len(cell)), test_size=0.3, random_state=seed, stratify=cell
    )
    tfidf = TfidfVectorizer(sublinear_tf=True, min_df=2)
    svd = TruncatedSVD(128, random_state=0)
    rows = svd.fit_transform(tfidf.fit_transform(data.text[train]))
    model = LogisticRegression(max_iter=2_000).fit(rows, data.occupation[train])
    predicted = model.predict(svd.transform(tfidf.transform(data.text[test])))
    return data.occupation[test], predicted, data.gender[test], data.truth


@pytest.fixture(scope="module")
def data():
    return make_biographies(random_state=0)


def test_same_seed_same_texts_other_seed_other_texts(data):
    again = make_biographies(random_state=0)
    for key in ("text", "occupation", "gender"):
        np.testing.assert_array_equal(data[key], again[key])
    assert (make_biographies(random_state=1).text != data.text).mean() > 0.9


def test_counts_follow_the_priors_with_a_tail_of_about_100(data):
    truth = data.truth
    assert truth.prior.sum() == pytest.approx(1.0)
    assert len(truth.occupations) == 28
    sizes = np.array([(data.occupation == o).sum() for o in truth.occupations])
    assert 90 <= sizes.max() / sizes.min() <= 110
    assert sizes.min() >= 20
    for y, occupation in enumerate(truth.occupations):
        for a, gender in enumerate(truth.genders):
            count = ((data.occupation == occupation) & (data.gender == gender)).sum()
            assert abs(count - 8_000 * truth.prior[y, a]) < 1.0


def test_every_cell_has_rows_at_the_default_size(data):
    cells = set(zip(data.occupation, data.gender, strict=True))
    assert len(cells) == 56


@pytest.mark.parametrize("tail", [1.0, 10.0, 1_000.0])
def test_tail_is_the_ratio_of_the_largest_to_the_smallest_occupation(tail):
    by_class = make_biographies(10, tail=tail, random_state=0).truth.prior.sum(axis=1)
    assert by_class.max() / by_class.min() == pytest.approx(tail)


def test_prior_bias_zero_makes_occupation_and_gender_independent():
    prior = make_biographies(10, prior_bias=0.0, random_state=0).truth.prior
    np.testing.assert_allclose(
        prior, prior.sum(axis=1, keepdims=True) * prior.sum(axis=0, keepdims=True)
    )


def test_share_of_women_varies_between_occupations(data):
    share = data.truth.prior[:, 1] / data.truth.prior.sum(axis=1)
    names = data.truth.occupations
    assert share[names.index("nurse")] > 0.8
    assert share[names.index("software engineer")] < 0.25


def test_no_text_names_a_gender_or_its_occupation(data):
    words = re.compile(rf"\b({'|'.join(GENDERED.split())})\b", re.IGNORECASE)
    assert not [t for t in data.text if words.search(t)]
    pairs = zip(data.text, data.occupation, strict=True)
    named = [t for t, o in pairs if re.search(rf"\b{o}\b", t, re.IGNORECASE)]
    assert not named


def test_pronouns_on_request_agree_with_the_gender():
    data = make_biographies(500, pronouns=True, random_state=0)
    for text, gender in zip(data.text, data.gender, strict=True):
        found = set(re.findall(r"\b(he|she)\b", text.lower()))
        assert found <= {"he" if gender == "man" else "she"}
    assert sum(" he " in f" {t.lower()}" for t in data.text) > 100


def test_texts_are_two_to_four_sentences_that_end_and_begin_well(data):
    for text in data.text:
        sentences = text.split(". ")
        assert 2 <= len(sentences) <= 4
        assert text.endswith(".") and "{" not in text and "  " not in text
        assert all(s[0].isupper() for s in sentences)


def test_a_biography_never_repeats_a_sentence_pattern_or_a_duty(data):
    duties = [d for o in read_vocabulary()[0] for d in o.duties]
    for text in data.text[:500]:
        assert max((text.count(d) for d in duties), default=0) <= 1


def test_wording_bias_zero_leaves_no_trace_of_the_gender():
    truth = make_biographies(10, **NOTHING).truth
    np.testing.assert_array_equal(truth.direction, 0.0)
    np.testing.assert_array_equal(truth.pull, 0.0)
    np.testing.assert_array_equal(truth.communal, 0.5)
    np.testing.assert_array_equal(truth.short, 0.0)


def test_borrowed_phrases_appear_at_the_rate_of_the_truth():
    data = make_biographies(40_000, random_state=0, noise_bias=0.0)
    occupations = {o.name: o for o in read_vocabulary()[0]}
    names = data.truth.occupations
    for occupation, gender, other in [
        ("surgeon", "woman", "nurse"),
        ("nurse", "man", "physician"),
        ("surgeon", "man", "nurse"),
    ]:
        rows = (data.occupation == occupation) & (data.gender == gender)
        # the first sentence always states one duty: whose is it?
        first = [t.split(". ")[0] for t in data.text[rows]]
        share = np.mean([any(d in t for d in occupations[other].duties) for t in first])
        y, a = names.index(occupation), data.truth.genders.index(gender)
        near = 0.25 * 0.6 / len(occupations[occupation].pulls)  # base confusion, both genders
        expected = data.truth.pull[y, a] + near + 0.25 * 0.4 / 28
        # four binomial standard errors
        assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / rows.sum())


def test_noisy_cells_are_shorter():
    data = make_biographies(40_000, random_state=0)
    length = np.array([t.count(".") for t in data.text])
    surgeon = data.occupation == "surgeon"
    women, men = (length[surgeon & (data.gender == g)].mean() for g in ("woman", "man"))
    assert women < men - 0.2


def test_a_short_text_says_nothing_of_the_occupation_after_its_first_sentence():
    data = make_biographies(20_000, noise_bias=2.0, random_state=0)
    empty = [p.split("}")[-1] for p in read_vocabulary()[1].generic]
    surgeon = data.occupation == "surgeon"
    shares = {}
    for gender in ("woman", "man"):
        texts = data.text[surgeon & (data.gender == gender)]
        second = [t.split(". ")[1].rstrip(".") + "." for t in texts]
        shares[gender] = np.mean([s.endswith(tuple(empty)) for s in second])
    # .8 of the women's texts are short; elsewhere .18 of the second sentences are generic
    assert shares["woman"] == pytest.approx(0.8 + 0.2 * 0.18, abs=0.08)
    assert shares["man"] == pytest.approx(0.18, abs=0.08)


@pytest.mark.parametrize("seed", range(2))
def test_the_untouched_classifier_is_useful_and_has_the_planted_gap(seed):
    y, predicted, gender, truth = judge(seed)
    assert 0.70 <= (predicted == y).mean() <= 0.82
    assert 0.08 <= rms_tpr_gap(y, predicted, gender) <= 0.24
    assert permutation_p_value(y, predicted, gender, n_permutations=1_000, seed=0) < 0.002
    # the gap points where it was planted: weight classes by how much they can say
    cells = tpr_by_cell(y, predicted, gender)
    agree = total = 0.0
    for i, name in enumerate(truth.occupations):
        if (name, "man") in cells and (name, "woman") in cells:
            (men, n0), (women, n1) = cells[name, "man"], cells[name, "woman"]
            weight = n0 * n1 / (n0 + n1)
            agree += weight * np.sign(truth.direction[i]) * (women - men)
            total += weight
    assert agree / total > 0.05


def test_without_bias_the_gap_is_no_larger_than_chance():
    # 2 seeds: under the null the smaller of 2 p-values is below .005 in 1 % of the draws
    p = []
    for seed in range(2):
        y, predicted, gender, _ = judge(seed, **NOTHING)
        p.append(permutation_p_value(y, predicted, gender, n_permutations=400, seed=0))
    assert min(p) > 0.005


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_samples": 0}, "`n_samples` of `make_biographies` must be a whole number"),
        ({"n_samples": 10.5}, "`n_samples` of `make_biographies` must be a whole number"),
        ({"bias": -0.1}, r"`bias` of `make_biographies` must lie in \[0, 2\]"),
        ({"prior_bias": 3}, r"`prior_bias` of `make_biographies` must lie in \[0, 2\]"),
        ({"noise_bias": "x"}, "`noise_bias` of `make_biographies` must be a number"),
        ({"tail": 0.5}, r"`tail` of `make_biographies` must lie in \[1, 10000\]"),
    ],
)
def test_wrong_parameters_raise(parameters, message):
    with pytest.raises(InvalidInputError, match=message):
        make_biographies(**parameters)


@pytest.mark.parametrize("n_samples", [1, 7, 56, 333])
def test_any_number_of_rows_is_met_exactly(n_samples):
    data = make_biographies(n_samples, random_state=0)
    assert len(data.text) == len(data.occupation) == len(data.gender) == n_samples


def test_extreme_biases_still_give_a_law():
    for parameters in ({"bias": 2.0, "prior_bias": 2.0, "noise_bias": 2.0, "tail": 1e4}, NOTHING):
        truth = make_biographies(100, random_state=0, **parameters).truth
        assert (truth.prior > 0).all() and truth.prior.sum() == pytest.approx(1.0)
        assert ((truth.own_share > 0) & (truth.own_share < 1)).all()
        assert ((truth.short >= 0) & (truth.short <= 1)).all()
