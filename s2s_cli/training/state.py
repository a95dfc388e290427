"""What a run is at one moment, and how it survives being killed."""

import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from s2s_cli.errors import RecipeError
from s2s_cli.picture.image import write_atomically
from s2s_cli.training import processes
from s2s_cli.training.recipe import Pace, Plan


@dataclass(frozen=True)
class Learner:
    """A part of what a stage learns that has an optimiser of its own."""

    network: nn.Module
    pace: Pace


OPTIMISERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}


class State:
    """Weights, their moving average, the optimisers and the step: all that a checkpoint holds.

    Nothing else needs keeping: a step's chance and its batch follow from the seed and the step's
    number, and the learning rate from the plan.
    """

    def __init__(self, network: nn.Module, learners: Mapping[str, Learner], plan: Plan) -> None:
        """network: everything that learns; learners: its parts, by name."""
        self.network, self.learners, self.plan = network, learners, plan
        self.optimisers = {
            name: OPTIMISERS[learner.pace.optimiser](
                learner.network.parameters(),
                learner.pace.learning_rate,
                betas=learner.pace.betas,
                weight_decay=learner.pace.weight_decay,
            )
            for name, learner in learners.items()
        }
        self.average = (
            AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(plan.ema_decay))
            if plan.ema_decay
            else None
        )
        self.step = 0
        self.validation = Validation()

    def forget_gradients(self) -> None:
        """What a lesson for others left behind does not count."""
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)

    def update(self, taught: Iterable[str]) -> None:
        """Move the learners ``taught``, by name, down their gradients."""
        for name in taught:
            learner, optimiser = self.learners[name], self.optimisers[name]
            processes.average_gradients(learner.network.parameters())
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(self.step, self.plan, learner.pace)
            if self.plan.clip_norm:
                nn.utils.clip_grad_norm_(learner.network.parameters(), self.plan.clip_norm)
            optimiser.step()

    def finish_step(self) -> None:
        """Count a step whose updates are all made."""
        if self.average is not None:
            self.average.update_parameters(self.network)
        self.step += 1

    @property
    def learned(self) -> nn.Module:
        """What was learned so far: the moving average where there is one."""
        if self.average is None:
            return self.network
        averaged: nn.Module = self.average.module
        return averaged

    def validated(self, loss: float) -> None:
        """Note what was measured after this step."""
        if loss < self.validation.loss:
            weights = {name: kept.clone() for name, kept in self.learned.state_dict().items()}
            self.validation = Validation(loss, weights)
        else:
            self.validation.worse += 1

    @property
    def over(self) -> bool:
        """Whether nothing is left to learn: the plan is fulfilled, or more does not help."""
        return self.step >= self.plan.steps or self.validation.worse >= self.plan.patience

    def best(self) -> nn.Module:
        """What was learned, with the weights that were best where that was measured."""
        if self.validation.weights is not None:
            self.learned.load_state_dict(self.validation.weights)
        return self.learned

    def save(self, path: Path) -> None:
        """Write a checkpoint; a kill at any moment leaves the old one or the new one, whole.

        Raises:
            OutputError: the disk is full, or the folder is gone; the old one is still there.
        """
        table: dict[str, Any] = {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimisers": {name: kept.state_dict() for name, kept in self.optimisers.items()},
            "average": None if self.average is None else self.average.state_dict(),
            "validation": vars(self.validation),
        }
        # Into memory first: what torch says of a full disk is no sentence, and no OSError.
        content = io.BytesIO()
        torch.save(table, content)
        write_atomically(path, content.getvalue())

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        device = next(self.network.parameters()).device
        try:
            table = torch.load(path, map_location=device, weights_only=True)
            self.network.load_state_dict(table["network"])
            for name, optimiser in self.optimisers.items():
                optimiser.load_state_dict(table["optimisers"][name])
            if self.average is not None:
                self.average.load_state_dict(table["average"])
            self.validation = Validation(**table["validation"])
        # A foreign or damaged pickle makes torch trip over whatever it meets first.
        except Exception as fault:
            raise RecipeError(
                f"The checkpoint {path} is damaged or of another recipe: "
                "delete it, or choose another --out."
            ) from fault
        self.step = table["step"]


@dataclass
class Validation:
    """How well unseen pairs were known."""

    loss: float = math.inf  # the least so far
    weights: dict[str, torch.Tensor] | None = None  # with which it was measured
    worse: int = 0  # measurements since then


def learning_rate(step: int, plan: Plan, pace: Pace | None = None) -> float:
    """Linear warm-up, then down to zero behind the last step: half a cosine, or late and linear.

    Late means constant until the last ``plan.decay_steps``; avstyle's schedule, which is that by
    epochs, is 3/5 constant and 2/5 linear.

    Args:
        step: counted from 0.
        plan: whose schedule it is.
        pace: the highest rate is this one's; None = the plan's own.
    """
    highest = (pace or plan).learning_rate * min(1.0, (step + 1) / max(1, plan.warmup_steps))
    if plan.decay_steps is None:
        return highest * (1 + math.cos(math.pi * step / plan.steps)) / 2
    return highest * min(1.0, (plan.steps - step) / (plan.decay_steps + 1))
