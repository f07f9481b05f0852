"""tmp."""


def certify_blind(*a):
    return None
