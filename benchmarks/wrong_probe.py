"""What a wrong probe costs, on generated and on real biographies.

Run from the repository root (the real biographies need ``shared/`` beside it)::

    python benchmarks/wrong_probe.py [figure folder]

One fold of four, stratified by (occupation, gender): fitted on three quarters, judged on
the last. TF-IDF reduced by truncated SVD (128 dimensions generated, 256 real), logistic
regression, steering in the class directions. A probe's knowledge goes from all groups over
none to always wrong; the head learnt from rows steered by true groups. About three minutes on one
core.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline

from isonomy import IdealSteerer
from isonomy.comparison import compare_inferred, probe_cost_curve
from isonomy.datasets import make_biographies
from isonomy.report.probe_cost import plot_probe_cost

DATA = Path(__file__).parents[2] / "shared" / "data" / "bias_in_bios" / "bios.csv.gz"


def sources():
    """Yield name, texts, labels, groups and the dimensions to keep."""
    made = make_biographies(8_000, random_state=0)
    texts = np.asarray(list(made.text), dtype=object)
    yield "generated biographies", texts, made.occupation, made.gender, 128
    if DATA.exists():
        table = pd.read_csv(DATA)
        texts = table["text"].to_numpy(object)
        yield (
            "real biographies",
            texts,
            table["occupation"].to_numpy(str),
            table["gender"].to_numpy(str),
            256,
        )


def one_fold(texts, y, group, n_dimensions):
    """Return the six parts of the first of four folds, text reduced inside it."""
    y, group = np.asarray(y).astype(str), np.asarray(group).astype(str)
    cells = np.char.add(y, group)
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    train, test = next(iter(folds.split(cells, cells)))
    reduce = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, min_df=3),
        TruncatedSVD(n_dimensions, random_state=0),
    )
    X, Z = reduce.fit_transform(texts[train]), reduce.transform(texts[test])
    unit = X.std(axis=0).mean()
    return X / unit, y[train], group[train], Z / unit, y[test], group[test]


def main() -> None:
    """Print one table a source; draw one figure each where a folder is named."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    settings = {
        "estimator": LogisticRegression(max_iter=300),
        "steerer": IdealSteerer(groups="infer", subspace="discriminant", random_state=0),
    }
    for name, *source in sources():
        parts = one_fold(*source)
        cost = probe_cost_curve(*parts, **settings)
        print(f"\n{name}: {cost.n_test:,} test rows, the largest group {cost.base_rate:.3f}\n")
        print("| probe | knowledge | knows | used | accuracy | corrected gap | upper bound | p |")
        print("|---|---|---|---|---|---|---|---|")
        for p in cost.points:
            known = "" if p.probe_accuracy is None else f"{p.probe_accuracy:.3f}"
            level = "" if p.knowledge is None else f"{p.knowledge:g}"
            print(
                f"| {p.probe} | {level} | {known} | {p.inference or ''} | {p.accuracy:.4f} "
                f"| {p.corrected:.4f} | {p.high:.4f} | {p.p_value:.4f} |"
            )
        for sentence in compare_inferred(*parts, n_boot=2_000, **settings)["sentences"]:
            print(f"\n{sentence}", end="")
        print(flush=True)
        if len(sys.argv) > 1:
            folder = Path(sys.argv[1])
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"wrong_probe_{name.split()[0]}.png"
            plot_probe_cost(cost.to_dict()).savefig(path, dpi=144, facecolor="white")


if __name__ == "__main__":
    main()
