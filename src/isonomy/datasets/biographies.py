"""Short biographies of 28 occupations with a planted, adjustable gender bias."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_random_state

from isonomy._validation import check_count, check_real
from isonomy.datasets._biography_law import biography_law
from isonomy.datasets._biography_text import compose_biographies
from isonomy.datasets._vocabulary import read_vocabulary

__all__ = ["make_biographies"]

_DESCRIPTION = """Synthetic biographies of 28 occupations (isonomy)

Written for isonomy from scratch: no sentence comes from a person or a data set. Each
text has two to four sentences, made of phrases of the occupation (duties, tools,
degrees, employers, awards) and of style words. Planted on purpose, and adjustable:

* wording (`bias`): in some occupations one gender's phrases are taken more often from a
  stereotyped other occupation (a surgeon who is a woman reads like a nurse, a nurse who
  is a man like a physician), and women get communal, men agentic style words;
* priors (`prior_bias`): the share of women differs between occupations;
* noise (`noise_bias`): in some occupations one gender's texts are short and empty;
* a long tail (`tail`): the most frequent occupation is about 100 times the rarest.

No text names a gender unless `pronouns=True`. `truth` holds the generating law.
"""


def make_biographies(
    n_samples: int = 8_000,
    *,
    bias: float = 1.0,
    prior_bias: float = 1.0,
    noise_bias: float = 1.0,
    tail: float = 100.0,
    pronouns: bool = False,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Generate short biographies with a known gender bias in wording, priors and noise.

    Parameters
    ----------
    n_samples : int
        Number of biographies, at least 1.
    bias : float in [0, 2]
        Strength of the bias in wording; at 0 the wording of an occupation does not
        depend on the gender.
    prior_bias : float in [0, 2]
        How far the share of women in each occupation is from their overall share; at 0
        occupation and gender are independent.
    noise_bias : float in [0, 2]
        How often one gender's text is cut short in the occupations so marked.
    tail : float in [1, 10000]
        Size of the most frequent occupation over that of the rarest.
    pronouns : bool
        Whether "he" and "she" stand for the neutral subjects.
    random_state : int, RandomState or None
        Same seed, same texts.

    Returns
    -------
    Bunch
        ``text`` (n_samples,) of str; ``occupation`` and ``gender`` (n_samples,) of str;
        ``truth``, a ``BiographyTruth``; ``DESCR``.

    Raises
    ------
    InvalidInputError
        If an argument is outside its range.

    Notes
    -----
    A sentence of cell (y, a) takes its phrases from occupation y' with probability
    ``source[y, a, y']``: the same base confusion (.25) for both genders plus, for one gender,
    ``.22 * bias * strength`` for the stereotyped occupation (``truth.pull``). The counts
    of the cells are the expected ones, rounded by largest remainder; rows are in random
    order. Below about 1,200 rows the rarest cells may be empty.

    What it does not promise: that people write so. The bias is planted, not measured.

    Examples
    --------
    >>> data = make_biographies(2_000, random_state=0)
    >>> len(data.text), len(set(data.occupation)), data.truth.genders
    (2000, 28, ('man', 'woman'))
    >>> data.truth.pulled_to["surgeon", "woman"]
    'nurse'
    """
    where = "make_biographies"
    n = check_count("n_samples", n_samples, where=where)
    for name, value in (("bias", bias), ("prior_bias", prior_bias), ("noise_bias", noise_bias)):
        check_real(name, value, where=where, low=0.0, high=2.0)
    check_real("tail", tail, where=where, low=1.0, high=10_000.0)
    rng = check_random_state(random_state)
    occupations, sentences = read_vocabulary()
    truth, source = biography_law(
        occupations, bias=bias, prior_bias=prior_bias, noise_bias=noise_bias, tail=tail
    )
    y_codes, group_codes = _draw_cells(truth.prior, n, rng)
    text = compose_biographies(
        y_codes,
        group_codes,
        occupations=sorted(occupations, key=lambda o: o.name),
        sentences=sentences,
        truth=truth,
        source=source,
        pronouns=pronouns,
        rng=rng,
    )
    return Bunch(
        text=np.array(text, dtype=object),
        occupation=np.array(truth.occupations)[y_codes],
        gender=np.array(truth.genders)[group_codes],
        truth=truth,
        DESCR=_DESCRIPTION,
    )


def _draw_cells(
    prior: NDArray[np.float64], n_samples: int, rng: np.random.RandomState
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the codes of label and group, shuffled, in the proportions of ``prior``."""
    expected = prior.ravel() * n_samples
    counts = np.floor(expected).astype(np.intp)
    remainder = np.argsort(counts - expected, kind="stable")
    counts[remainder[: n_samples - int(counts.sum())]] += 1
    cells = rng.permutation(np.repeat(np.arange(prior.size), counts))
    y_codes, group_codes = np.divmod(cells, prior.shape[1])
    return y_codes.astype(np.intp), group_codes.astype(np.intp)
