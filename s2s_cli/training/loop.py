"""The only training loop."""

import json
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from s2s_cli.errors import RecipeError
from s2s_cli.networks.layers import fast_precision
from s2s_cli.training.recipe import Plan
from s2s_cli.training.state import State


class Stage(Protocol):
    """One thing to be learned."""

    name: str
    plan: Plan

    @property
    def network(self) -> nn.Module:
        """Everything that learns."""
        ...

    def losses(self, chance: torch.Generator) -> dict[str, Tensor]:
        """Draw a batch and judge it. ``loss`` is minimised; the others are watched."""
        ...


# Called with a stage's name, its steps and how many of them are done; gives what is called with
# the measures of each step that follows.
Watch = Callable[[str, int, int], Callable[[Mapping[str, float]], None]]


def chance_of(seed: int, stage: str, step: int) -> torch.Generator:
    """The chance of one step: the same in an unbroken run and in a resumed one."""
    return torch.Generator().manual_seed(zlib.crc32(f"{seed}/{stage}/{step}".encode()))


def train(
    stage: Stage,
    folder: Path,
    *,
    seed: int,
    device: torch.device,
    watch: Watch,
    deadline: float = float("inf"),
) -> nn.Module | None:
    """Learn until the plan is fulfilled, from the last checkpoint on if there is one.

    Args:
        stage: what to learn.
        folder: where ``STAGE.checkpoint`` and ``log.jsonl`` are kept.
        seed: the recipe's.
        device: of the stage's network.
        watch: who is told how it goes.
        deadline: ``time.monotonic()`` at which to stop resumably.

    Returns:
        The learned network, ready to use; None if the deadline came first.

    Raises:
        RecipeError: the loss became infinite or NaN; the last good checkpoint is kept.
    """
    plan, network = stage.plan, stage.network.to(device).train()
    state = State(network, plan)
    checkpoint = folder / f"{stage.name}.checkpoint"
    if checkpoint.exists():
        state.load(checkpoint)
    narrow = fast_precision(device.type) == "bfloat16"
    told = watch(stage.name, plan.steps, state.step)
    started, first = time.monotonic(), state.step
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        while state.step < plan.steps:
            with torch.autocast(device.type, torch.bfloat16, enabled=narrow):
                losses = stage.losses(chance_of(seed, stage.name, state.step))
            measures = {name: float(value.detach()) for name, value in losses.items()}
            if not torch.isfinite(losses["loss"]):
                raise RecipeError(
                    f"The loss of stage {stage.name} is {measures['loss']} at step {state.step}: "
                    f"lower its learning rate of {plan.learning_rate:g} and run again."
                )
            state.update(losses["loss"])
            told(measures)
            if state.step % 20 == 0 or state.step == plan.steps:
                pace = (state.step - first) * plan.batch / (time.monotonic() - started)
                entry = {"stage": stage.name, "step": state.step, **measures, "per_second": pace}
                log.write(json.dumps(entry) + "\n")
                log.flush()
            late = time.monotonic() > deadline  # asked after a step, so that every run gets on
            if late or state.step % plan.checkpoint_every == 0 or state.step == plan.steps:
                state.save(checkpoint)
            if late and state.step < plan.steps:
                return None
    return state.best.eval().requires_grad_(False)
