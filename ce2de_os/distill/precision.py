"""Number formats of the training: bfloat16 where the CPU multiplies it natively."""

from __future__ import annotations

import torch


def resolve(precision: str) -> str:
    """``"auto"`` to ``"bf16"`` or ``"fp32"``: without native support bfloat16 is slower than float32."""
    if precision != "auto":
        return precision
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return "bf16" if supported() else "fp32"


def autocast(precision: str) -> torch.autocast:
    """A context in which matrix products run in ``precision`` (``"bf16"`` or ``"fp32"``)."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16")
