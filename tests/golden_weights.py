"""The weights of the golden vectors, rebuilt from their keys as ``shared/golden/README.md`` says.

A network's JSON lists key, shape and dtype; its NPZ holds one forward pass. Nothing is learned
here: anyone can make the same numbers, so a checkpoint needs no file.
"""

import json
import zlib
from math import prod, sqrt
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden"


def weights(name: str) -> dict[str, Tensor]:
    """Every tensor of the network, under its published key."""
    listed = json.loads((GOLDEN / f"{name}.json").read_text())["state_dict"]
    return {key: fill(key, *listed[key]) for key in sorted(listed)}


def fill(key: str, shape: list[int], dtype: str) -> Tensor:
    """One tensor, drawn from its key alone."""
    if dtype.startswith("int"):
        return torch.zeros(shape, dtype=getattr(torch, dtype))
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode())))
    x = rng.standard_normal(shape or (1,)).astype(np.float32)
    last = key.rpartition(".")[2]
    if last in ("running_var", "stored_var"):
        x = 1 + 0.1 * np.abs(x)
    elif last in ("running_mean", "stored_mean"):
        x = 0.1 * x
    elif len(shape) >= 2 and not last.startswith("u"):
        x = x * np.float32(sqrt(2 / prod(shape[1:])))
    elif last == "weight":
        x = 1 + 0.1 * x
    elif last == "bias":
        x = 0.1 * x
    elif last == "gamma":
        x = 0.5 + 0.1 * x
    return torch.from_numpy(x).reshape(shape)


def vectors(name: str) -> dict[str, Tensor]:
    """The recorded inputs and outputs, as float32 where they are real."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = {key: torch.from_numpy(file[key]) for key in file.files}
    return {k: v.float() if v.is_floating_point() else v for k, v in arrays.items()}
