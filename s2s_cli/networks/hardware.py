"""What a machine computes with: which precision is fast, and what becomes of large maps."""

import ctypes
import sys
from contextlib import suppress
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]  # in which a generator computes


def fast_precision(device: str) -> Precision:
    """bfloat16 where the hardware multiplies it faster than float32.

    Of CPUs these are the ones with matrix units (AMX) or with its dot product (AVX-512 BF16),
    measured to be four times as fast with it. Others widen every number, and are half as fast.
    """
    if device == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        known = torch.cpu.get_capabilities()
        fast = device == "cpu" and (known.get("amx_bf16") or known.get("avx512_bf16"))
    return "bfloat16" if fast else "float32"


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # <malloc.h>


def keep_memory() -> None:
    """Let this process keep the memory that large maps gave back, for the next ones.

    The GNU C library returns every block of more than 32 MB to the system at once, and gets each of
    its pages again, cleared, at the next layer: large pictures took twice as long. With another C
    library nothing happens.
    """
    if sys.platform.startswith("linux"):
        with suppress(AttributeError, OSError):
            set_option = ctypes.CDLL(None).mallopt
            set_option(M_MMAP_MAX, 0)
            set_option(M_TRIM_THRESHOLD, 2**31 - 1)
