"""What a run is at one moment, and how it survives being killed."""

import math
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from s2s_cli.errors import RecipeError
from s2s_cli.training.recipe import Plan


class State:
    """Weights, their moving average, the optimiser and the step: all that a checkpoint holds.

    Nothing else needs keeping: a step's chance and its batch follow from the seed and the step's
    number, and the learning rate from the plan.
    """

    def __init__(self, network: nn.Module, plan: Plan) -> None:
        self.network = network
        self.plan = plan
        self.optimiser = torch.optim.AdamW(
            network.parameters(), plan.learning_rate, weight_decay=plan.weight_decay
        )
        self.average = (
            AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(plan.ema_decay))
            if plan.ema_decay
            else None
        )
        self.step = 0

    def update(self, loss: torch.Tensor) -> None:
        """One step down the gradient of ``loss``."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, self.plan)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.plan.clip_norm)
        self.optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        self.step += 1

    @property
    def best(self) -> nn.Module:
        """The weights to keep: the moving average where there is one."""
        if self.average is None:
            return self.network
        averaged: nn.Module = self.average.module
        return averaged

    def save(self, path: Path) -> None:
        """Write a checkpoint; a kill at any moment leaves the old one or the new one, whole."""
        table: dict[str, Any] = {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }
        new = path.with_suffix(".new")
        torch.save(table, new)
        with new.open("rb") as file:
            os.fsync(file.fileno())
        new.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        device = next(self.network.parameters()).device
        try:
            table = torch.load(path, map_location=device, weights_only=True)
            self.network.load_state_dict(table["network"])
            self.optimiser.load_state_dict(table["optimiser"])
            if self.average is not None:
                self.average.load_state_dict(table["average"])
        # A foreign or damaged pickle makes torch trip over whatever it meets first.
        except Exception as fault:
            raise RecipeError(
                f"The checkpoint {path} is damaged or of another recipe: "
                "delete it, or choose another --out."
            ) from fault
        self.step = table["step"]


def learning_rate(step: int, plan: Plan) -> float:
    """Linear warm-up, then half a cosine down to zero at the last step."""
    warm = min(1.0, (step + 1) / max(1, plan.warmup_steps))
    return plan.learning_rate * warm * (1 + math.cos(math.pi * step / plan.steps)) / 2
