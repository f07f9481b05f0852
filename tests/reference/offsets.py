"""Literal, slow forms of the calibrator's objective and of its hard rates."""

import math


def softmax_row(row):
    top = max(row)
    powers = [math.exp(v - top) for v in row]
    return [p / sum(powers) for p in powers]


def shift(offsets, group, guess, k):
    """What is added to class k of one row: its group's offset, or the guessed mean of them."""
    if guess is None:
        return offsets[group][k]
    return sum(p * offsets[a][k] for a, p in enumerate(guess[k]))


def objective(
    scores,
    y,
    groups,
    offsets,
    *,
    shrinkage,
    penalty,
    temperature,
    guesses=None,
    utility="likelihood",
    noise_share=1.0,
    ridge=0.0,
):
    """Mean log-loss plus penalty times the TPR spreads beyond chance, row by row.

    ``guesses[i][k][a]`` is P(group a | row i, class k), where the decision has no groups.
    """
    n, n_classes, n_groups = len(y), len(scores[0]), len(offsets)
    loss = 0.0
    hits, decided = {}, {}
    for i in range(n):
        first_best = scores[i].index(max(scores[i])) == y[i]
        decided.setdefault((y[i], groups[i]), []).append(first_best)
        guess = None if guesses is None else guesses[i]
        shifted = [scores[i][k] + shift(offsets, groups[i], guess, k) for k in range(n_classes)]
        smooth = softmax_row([v / temperature for v in shifted])
        if utility == "likelihood":
            loss -= math.log(softmax_row(shifted)[y[i]]) / n
        else:
            loss += (1 - smooth[y[i]]) / n
        hits.setdefault((y[i], groups[i]), []).append(smooth[y[i]])
    gap = 0.0
    for label in range(n_classes):
        cells = [hits.get((label, a), []) for a in range(n_groups)]
        if sum(len(c) > 0 for c in cells) < 2:
            continue
        size = sum(len(c) for c in cells)
        common = sum(sum(c) for c in cells) / size
        trust = 1.0
        spread = 0.0
        noise = 0.0
        for a, c in enumerate(cells):
            if c:
                share = len(c) / size
                trust *= len(c) / (len(c) + shrinkage)
                spread += share * (sum(c) / len(c) - common) ** 2
                rate = (sum(decided[label, a]) + 0.5) / (len(c) + 1)
                noise += share * (1 - share) * rate * (1 - rate) / len(c)
        noise *= noise_share
        excess = spread - noise
        gap += size / n * trust * (excess + math.sqrt(excess**2 + (noise / 4) ** 2)) / 2
    flat = [b for row in offsets for b in row]
    centre = sum(flat) / len(flat)
    held = ridge / 2 * sum((b - centre) ** 2 for b in flat)
    return loss + penalty * gap + held


def true_positive_rates(predicted, y, groups):
    """{(label, group): share of the cell predicted right}."""
    cells = {}
    for p, label, a in zip(predicted, y, groups, strict=True):
        cells.setdefault((label, a), []).append(p == label)
    return {cell: sum(hits) / len(hits) for cell, hits in cells.items()}
