"""Which servers can serve an exported adapter, and why not.

Facts were read in each server's own sources in November 2026; each sentence names what it
rests on, so that a reader can check whether it still holds. What is not known is said to be
not confirmed, and never counted as a yes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

__all__ = ["Facts", "Verdict", "verdicts"]

VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The values that vLLM's ``max_lora_rank`` may take; 16 is its default."""

VLLM_VOCABULARY = 258_048
"""The largest vocabulary whose head takes an adapter in vLLM."""

_LLAMA_NAMES = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


@dataclass(frozen=True)
class Facts:
    """What decides: of all adapters of one export together."""

    bias: bool
    rank: int
    modules: tuple[str, ...]
    generates: bool
    is_head: bool
    tied: bool
    transposed: bool
    n_outputs: int
    n_blocks: int
    n_adapters: int

    @property
    def endings(self) -> set[str]:
        """The last parts of the target modules' names."""
        return {name.rpartition(".")[2] for name in self.modules}


@dataclass(frozen=True)
class Verdict:
    """``serves`` is None where it is not confirmed either way."""

    serves: bool | None
    reason: str

    def to_dict(self) -> dict[str, object]:
        """Return the two fields."""
        return asdict(self)


def verdicts(facts: Facts) -> dict[str, Verdict]:
    """Return, per server, whether it can serve the adapters, and the reason."""
    return {
        "peft": _peft(facts),
        "vllm": _no_model(facts, "vLLM") or _vllm(facts),
        "sglang": _no_model(facts, "SGLang") or _sglang(facts),
        "text-generation-inference": _no_model(facts, "TGI") or _tgi(facts),
        "llama.cpp": _no_model(facts, "llama.cpp") or _llama_cpp(facts),
    }


def _peft(facts: Facts) -> Verdict:
    if facts.bias:
        return Verdict(True, "needs a version of PEFT that knows `lora_bias`.")
    return Verdict(True, "plain LoRA, loads in any version.")


def _no_model(facts: Facts, server: str) -> Verdict | None:
    if facts.generates:
        return None
    return Verdict(
        None, f"not confirmed: {server} documents adapters for models that generate text alone."
    )


def _vllm(facts: Facts) -> Verdict:
    if facts.bias:
        return Verdict(
            False, "the adapters have a bias; vLLM removed adapter biases (pull request 25807)."
        )
    if facts.rank > VLLM_RANKS[-1]:
        return Verdict(False, f"rank {facts.rank} is above vLLM's largest, {VLLM_RANKS[-1]}.")
    if facts.is_head and facts.n_outputs > VLLM_VOCABULARY:
        return Verdict(
            False, f"the head has {facts.n_outputs} outputs; vLLM takes up to {VLLM_VOCABULARY}."
        )
    if facts.is_head and facts.tied:
        return Verdict(None, "not confirmed for a head that is tied to the embedding.")
    if facts.transposed:
        return Verdict(None, "not confirmed for layers with transposed weights (GPT-2).")
    limit = next(rank for rank in VLLM_RANKS if rank >= facts.rank)
    part = "its head" if facts.is_head else "it"
    return Verdict(
        True,
        f"with --enable-lora --max-lora-rank {limit}, if vLLM's class of the model takes adapters "
        f"for {part}.",
    )


def _sglang(facts: Facts) -> Verdict:
    if facts.bias:
        return Verdict(None, "not confirmed: biases of adapters are not documented; expect none.")
    known = _LLAMA_NAMES | {"lm_head"}
    if not facts.endings <= known:
        other = ", ".join(sorted(facts.endings - known))
        return Verdict(None, f"not confirmed for {other}: not among its usual target modules.")
    newer = " in a version that lists lm_head among its target modules" if facts.is_head else ""
    return Verdict(True, f"with --enable-lora --max-lora-rank {facts.rank} or more{newer}.")


def _tgi(facts: Facts) -> Verdict:
    if facts.bias:
        return Verdict(
            False, "the adapters have a bias; TGI reads lora_A and lora_B alone and would drop it."
        )
    if facts.is_head:
        return Verdict(None, "not confirmed for an adapter of the head.")
    if facts.n_blocks > 1:
        return Verdict(
            False,
            "TGI takes a kind of layer only if every block has an adapter for it; these adapters "
            "steer one block and would be left out in silence.",
        )
    return Verdict(True, "with LORA_ADAPTERS.")


def _llama_cpp(facts: Facts) -> Verdict:
    if facts.bias:
        return Verdict(
            False, "the adapters have a bias; convert_lora_to_gguf.py stops at such a tensor."
        )
    if facts.is_head and facts.tied:
        return Verdict(
            False, "the head is tied; convert_lora_to_gguf.py ignores or refuses its adapter."
        )
    if facts.transposed:
        return Verdict(
            False,
            "the layers have transposed weights (fan_in_fan_out), which "
            "convert_lora_to_gguf.py does not read from adapter_config.json.",
        )
    return Verdict(True, "after convert_lora_to_gguf.py.")
