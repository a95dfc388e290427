"""The only training loop."""

import json
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from s2s_cli.errors import RecipeError
from s2s_cli.networks.hardware import fast_precision, keep_memory
from s2s_cli.training.recipe import Plan
from s2s_cli.training.state import Learner, State


@dataclass(frozen=True)
class Lesson:
    """One update."""

    loss: Tensor  # minimised
    taught: tuple[str, ...]  # the learners that move
    measures: Mapping[str, Tensor]  # watched


class Stage(Protocol):
    """One thing to be learned."""

    name: str
    plan: Plan

    @property
    def network(self) -> nn.Module:
        """Everything that learns."""
        ...

    @property
    def learners(self) -> Mapping[str, Learner]:
        """Its parts, each with its own optimiser, by name."""
        ...

    def lessons(self, chance: torch.Generator) -> Iterator[Lesson]:
        """Draw a batch and judge it; each lesson is learned before the next one is asked for."""
        ...


class SingleStage(ABC):
    """A stage with one network and one loss."""

    plan: Plan
    network: nn.Module

    @property
    def learners(self) -> Mapping[str, Learner]:
        """The network alone."""
        return {"network": Learner(self.network, self.plan.pace)}

    def lessons(self, chance: torch.Generator) -> Iterator[Lesson]:
        """One lesson a step."""
        losses = self.losses(chance)
        yield Lesson(losses["loss"], ("network",), losses)

    @abstractmethod
    def losses(self, chance: torch.Generator) -> dict[str, Tensor]:
        """Draw a batch and judge it. ``loss`` is minimised; the others are watched."""


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
    state = State(network, stage.learners, plan)
    checkpoint = folder / f"{stage.name}.checkpoint"
    if checkpoint.exists():
        state.load(checkpoint)
    narrow = fast_precision(device.type) == "bfloat16"
    keep_memory()

    def next_lesson(lessons: Iterator[Lesson]) -> Lesson | None:
        with torch.autocast(device.type, torch.bfloat16, enabled=narrow):
            return next(lessons, None)

    told = watch(stage.name, plan.steps, state.step)
    started, first = time.monotonic(), state.step
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        while state.step < plan.steps:
            lessons = stage.lessons(chance_of(seed, stage.name, state.step))
            measures: dict[str, float] = {}
            while lesson := next_lesson(lessons):
                if not torch.isfinite(lesson.loss):
                    raise RecipeError(
                        f"The loss of stage {stage.name} is {lesson.loss.item()} at step "
                        f"{state.step}: lower its learning rate of {plan.learning_rate:g} "
                        "and run again."
                    )
                state.update(lesson.loss, lesson.taught)
                measures |= {name: value.item() for name, value in lesson.measures.items()}
            state.finish_step()
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
