"""A script for `accelerate launch`: collect, and write what each process got."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from accelerate import PartialState

from isonomy.distributed import collect_with_accelerate
from isonomy.errors import InvalidInputError


def main(model: str, data: str, folder: Path) -> None:
    asked = {"text": "bio", "label": "job", "group": "gender", "batch_size": 4, "dtype": "float64"}
    found = collect_with_accelerate(
        model, data, site="residual", layers=[0, 2], output=folder / "saved", **asked
    )
    state = PartialState()
    assert state.num_processes == 2
    rank = state.process_index
    arrays = {
        f"{layer}.{name}": array
        for layer, moments in found.items()
        for name, array in moments.to_arrays()[0].items()
    }
    np.savez(folder / f"process-{rank}.npz", n_rows=found.n_rows, **arrays)

    # one row for two processes
    one = {"bio": ["she teaches"], "job": ["teacher"], "gender": ["F"]}
    single = collect_with_accelerate(model, one, **asked)
    np.savez(folder / f"single-{rank}.npz", n_rows=single.n_rows, mean=single[None].means)

    # a bad row: the process that does not own it must not wait for ever
    bad = {**one, "bio": ["she teaches", " "], "job": ["teacher"] * 2, "gender": ["F", "M"]}
    message = ""
    try:
        collect_with_accelerate(model, bad, **asked)
    except InvalidInputError as error:
        message = str(error)
    (folder / f"error-{rank}.txt").write_text(message)
    state.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
