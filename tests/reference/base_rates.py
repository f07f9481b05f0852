"""The shift by base rates, transcribed row by row."""

import math


def shifted_scores_slowly(y, groups, weight, scores, guess, strength, prior_rows):
    """Return (scores with known groups, scores with guessed groups), after the shift."""
    n, n_classes = scores.shape
    n_groups = guess.shape[2]
    total = sum(weight)
    common = [sum(weight[i] for i in range(n) if y[i] == k) / total for k in range(n_classes)]
    lift = [[1.0] * n_classes for _ in range(n_groups)]
    for a in range(n_groups):
        size = sum(weight[i] for i in range(n) if groups[i] == a)
        for k in range(n_classes):
            inside = sum(weight[i] for i in range(n) if groups[i] == a and y[i] == k)
            held = inside + prior_rows * common[k]
            if held > 0 and common[k] > 0:
                lift[a][k] = held / (size + prior_rows) / common[k]
    known, guessed = [], []
    for i in range(n):
        known.append(
            [scores[i][k] - strength * math.log(lift[groups[i]][k]) for k in range(n_classes)]
        )
        top = sum(math.exp(scores[i][k]) for k in range(n_classes))
        of_row = [
            sum(math.exp(scores[i][k]) / top * guess[i][k][a] for k in range(n_classes))
            for a in range(n_groups)
        ]
        guessed.append(
            [
                scores[i][k]
                + math.log(sum(of_row[a] * lift[a][k] ** -strength for a in range(n_groups)))
                for k in range(n_classes)
            ]
        )
    return known, guessed
