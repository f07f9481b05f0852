"""Kamiran-Calders weights by counting rows one after the other."""


def independence_weights(y, groups, weight=None):
    """weight * P(y) P(a) / P(y, a), all shares counted under ``weight``."""
    weight = [1.0] * len(y) if weight is None else weight
    total = sum(weight)
    result = []
    for label, group, own in zip(y, groups, weight, strict=True):
        p_y = sum(w for w, yy in zip(weight, y, strict=True) if yy == label) / total
        p_a = sum(w for w, g in zip(weight, groups, strict=True) if g == group) / total
        p_ya = 0.0
        for w, yy, g in zip(weight, y, groups, strict=True):
            p_ya += w / total if (yy == label and g == group) else 0.0
        result.append(own * p_y * p_a / p_ya if p_ya > 0 else 0.0)
    return result
