"""Losses for classes and groups of unequal size, for anyone's training loop.

Plain functions return the loss of every row, ``(n,)``; `make_objective` bundles one with the
running statistics it needs. A loop with gradient accumulation over micro-batches:

>>> import torch
>>> from isonomy.adapters.losses import make_objective
>>> generator = torch.Generator().manual_seed(0)
>>> model = torch.nn.Linear(5, 3)
>>> X = torch.randn(32, 5, generator=generator)
>>> y = torch.arange(32) % 8 // 5 + torch.arange(32) % 16 // 15  # 20, 10 and 2 rows
>>> objective = make_objective("equity", class_counts=[20, 10, 2])
>>> optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
>>> for step in range(3):
...     objective.set_progress(step / 3)
...     for part in (slice(0, 16), slice(16, 32)):
...         logits = model(X[part])
...         (objective.per_sample(logits, y[part]).sum() / 32).backward()
...         objective.observe(logits, y[part])
...     optimiser.step()
...     optimiser.zero_grad()
...     objective.commit()
>>> sorted(objective.values())
['histogram', 'margin', 'penalty', 'penalty_weight']

With several processes, add up ``objective.pending()`` over them and give the sum to
``commit``; divide by the number of rows of all of them.
"""

from isonomy.adapters.losses.class_grouping import ClassGroups, class_groups
from isonomy.adapters.losses.class_weights import class_balanced_weights
from isonomy.adapters.losses.cross_entropies import (
    balanced_softmax,
    cross_entropy,
    focal,
    logit_adjusted,
    post_hoc_adjusted,
)
from isonomy.adapters.losses.demographics import (
    demographic_parity_penalty,
    equal_opportunity_penalty,
)
from isonomy.adapters.losses.equity import equity_penalty
from isonomy.adapters.losses.label_balance import gap_penalty, level_penalty
from isonomy.adapters.losses.making import make_objective, objective_settings
from isonomy.adapters.losses.margins import ldam
from isonomy.adapters.losses.multi_labels import binary_cross_entropy
from isonomy.adapters.losses.objective import Objective
from isonomy.adapters.losses.running import RunningMeans
from isonomy.adapters.losses.statistics import running_means
from isonomy.adapters.losses.worst_group import GroupWeights, group_dro

__all__ = [
    "ClassGroups",
    "GroupWeights",
    "Objective",
    "RunningMeans",
    "balanced_softmax",
    "binary_cross_entropy",
    "class_balanced_weights",
    "class_groups",
    "cross_entropy",
    "demographic_parity_penalty",
    "equal_opportunity_penalty",
    "equity_penalty",
    "focal",
    "gap_penalty",
    "group_dro",
    "ldam",
    "level_penalty",
    "logit_adjusted",
    "make_objective",
    "objective_settings",
    "post_hoc_adjusted",
    "running_means",
]
