"""Choose the number format of the training: bfloat16 if the device multiplies it natively."""

from __future__ import annotations

import torch


def resolve(precision: str, device: str = "cpu") -> str:
    """Resolve ``"auto"`` to ``"bf16"`` if the device computes it natively, else to ``"fp32"``.

    ``device`` is PyTorch's device type, ``"cpu"`` or ``"cuda"``.
    """
    if precision != "auto":
        return precision
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return "bf16" if supported() else "fp32"


def autocast(precision: str, device: str = "cpu") -> torch.autocast:
    """Return a context in which matrix products run in ``precision`` (``"bf16"`` or ``"fp32"``)."""
    return torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16")
