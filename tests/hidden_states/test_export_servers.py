"""Each server's verdict follows from what the adapters need, and names its reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from isonomy.hidden_states._export._servers import VLLM_RANKS, Facts, verdicts

PLAIN = Facts(
    bias=False,
    rank=4,
    modules=("model.layers.3.self_attn.q_proj", "model.layers.3.self_attn.k_proj"),
    generates=True,
    is_head=False,
    tied=False,
    transposed=False,
    n_outputs=4096,
    n_blocks=32,
    n_adapters=2,
)


def test_plain_adapters_are_served_where_one_block_is_enough() -> None:
    found = verdicts(PLAIN)
    assert {name for name, one in found.items() if one.serves} == {
        "peft",
        "vllm",
        "sglang",
        "llama.cpp",
    }
    assert "every block" in found["text-generation-inference"].reason


@pytest.mark.parametrize("rank", [1, 4, 16, 17, 512])
def test_vllm_is_told_the_smallest_rank_it_knows(rank: int) -> None:
    reason = verdicts(replace(PLAIN, rank=rank))["vllm"].reason
    limit = min(known for known in VLLM_RANKS if known >= rank)
    assert reason.startswith(f"with --enable-lora --max-lora-rank {limit}")


REFUSED = [
    ({"bias": True}, "vllm", "removed adapter biases"),
    ({"bias": True}, "llama.cpp", "stops at such a tensor"),
    ({"bias": True}, "text-generation-inference", "lora_A and lora_B alone"),
    ({"rank": 513}, "vllm", "above vLLM's largest, 512"),
    ({"is_head": True, "n_outputs": 300_000}, "vllm", "300000 outputs"),
    ({"is_head": True, "tied": True}, "llama.cpp", "tied"),
    ({"transposed": True}, "llama.cpp", "fan_in_fan_out"),
]


@pytest.mark.parametrize(("change", "server", "reason"), REFUSED)
def test_refusals_name_their_reason(change: dict[str, Any], server: str, reason: str) -> None:
    found = verdicts(replace(PLAIN, **change))[server]
    assert found.serves is False
    assert reason in found.reason


UNKNOWN = [
    ({"generates": False}, "vllm"),
    ({"bias": True}, "sglang"),
    ({"modules": ("h.0.attn.c_attn",)}, "sglang"),
    ({"is_head": True, "tied": True}, "vllm"),
    ({"is_head": True}, "text-generation-inference"),
]


@pytest.mark.parametrize(("change", "server"), UNKNOWN)
def test_what_is_not_known_is_not_a_yes(change: dict[str, Any], server: str) -> None:
    found = verdicts(replace(PLAIN, **change))[server]
    assert found.serves is None
    assert found.reason.startswith("not confirmed")


@pytest.mark.parametrize("change", [{}, {"bias": True}, {"generates": False}, {"rank": 9999}])
def test_peft_loads_whatever_was_written(change: dict[str, Any]) -> None:
    assert verdicts(replace(PLAIN, **change))["peft"].serves
