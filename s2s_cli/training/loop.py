"""The only training loop."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from s2s_cli.chance import Chance
from s2s_cli.errors import RecipeError
from s2s_cli.networks.hardware import fast_precision, keep_memory
from s2s_cli.training import processes
from s2s_cli.training.journal import EVERY, Journal
from s2s_cli.training.recipe import Plan
from s2s_cli.training.state import Learner, State

AHEAD = 2  # batches that are read and decoded while another one is learned from

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Lesson:
    """One update."""

    loss: Tensor  # minimised
    taught: tuple[str, ...]  # the learners that move
    measures: Mapping[str, Tensor]  # watched


class Stage(Protocol):
    """One thing to be learned.

    A process holds ``plan.batch`` items, or an equal part of them: ``share`` says how many.
    """

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

    def draw(self, chance: Chance) -> Batch:
        """What a step learns from, on the CPU. It may be drawn ahead, and asks no network."""
        ...

    def lessons(self, batch: Batch, chance: Chance) -> Iterator[Lesson]:
        """Judge a batch; each lesson is learned before the next one is asked for."""
        ...

    def validation_loss(self, network: nn.Module) -> float:
        """How badly what was never learned from is known; asked if the plan validates."""
        ...

    def samples(self, network: nn.Module) -> tuple[Tensor, int] | None:
        """Pictures (count, 3, h, w) that show what was learned, and how many make a row."""
        ...


class LoneStage(ABC):
    """What most stages have in common."""

    plan: Plan

    def share(self, chance: Chance) -> int:
        """How many items of the batch are in a part."""
        return self.plan.batch // chance.parts

    def validation_loss(self, network: nn.Module) -> float:  # noqa: ARG002
        """Not known here."""
        raise RecipeError("This stage cannot be validated: leave out its plan.validate_every.")

    def samples(self, network: nn.Module) -> tuple[Tensor, int] | None:  # noqa: ARG002
        """Nothing can be seen of it."""
        return None


class SingleStage(LoneStage):
    """A stage with one network and one loss."""

    network: nn.Module

    @property
    def learners(self) -> Mapping[str, Learner]:
        """The network alone."""
        return {"network": Learner(self.network, self.plan.pace)}

    def lessons(self, batch: Batch, chance: Chance) -> Iterator[Lesson]:
        """One lesson a step."""
        losses = self.losses(batch, chance)
        yield Lesson(losses["loss"], ("network",), losses)

    @abstractmethod
    def losses(self, batch: Batch, chance: Chance) -> dict[str, Tensor]:
        """Judge a batch. ``loss`` is minimised; the others are watched."""


# Called with a stage's name, its steps and how many of them are done; gives what is called with
# the measures of each step that follows.
Watch = Callable[[str, int, int], Callable[[Mapping[str, float]], None]]


class Drawer:
    """Draws the batches of the steps to come in a thread of its own."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage, self.seed = stage, seed
        self.thread = ThreadPoolExecutor(1, f"draw-{stage.name}")
        self.coming: dict[int, Future[list[tuple[Batch, Chance]]]] = {}

    def parts(self, step: int) -> list[tuple[Batch, Chance]]:
        """This process's parts of a step's batch, each with the chance that drew it."""
        for ahead in range(step, min(step + 1 + AHEAD, self.stage.plan.steps)):
            if ahead not in self.coming:
                self.coming[ahead] = self.thread.submit(self.draw, ahead)
        return self.coming.pop(step).result()

    def draw(self, step: int) -> list[tuple[Batch, Chance]]:
        """The same in an unbroken run and in a resumed one."""
        own = self.stage.plan.parts
        chances = [
            Chance(
                f"{self.seed}/{self.stage.name}/{step}",
                processes.rank() * own + part,
                processes.count() * own,
            )
            for part in range(own)
        ]
        return [(self.stage.draw(chance), chance) for chance in chances]

    def close(self) -> None:
        """No more are wanted."""
        self.thread.shutdown(cancel_futures=True)


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
        folder: where ``STAGE.checkpoint`` and the journal are kept; of all processes the same.
        seed: the recipe's.
        device: of the stage's network.
        watch: who is told how it goes.
        deadline: ``time.monotonic()`` at which to stop resumably.

    Returns:
        The learned network, ready to use; None if the deadline came first.

    Raises:
        RecipeError: the loss became infinite or NaN, or the batch cannot be shared out equally.
        OutputError: the disk takes no checkpoint. In both cases the last good one is kept.
    """
    plan, network = stage.plan, stage.network.to(device).train()
    everyone = processes.count() * plan.parts
    if plan.batch % everyone:
        raise RecipeError(
            f"A batch of {plan.batch} cannot be shared out equally to {processes.count()} "
            f"processes with {plan.parts} parts each: choose another {stage.name} plan.batch."
        )
    processes.share_norms(network)
    state = State(network, stage.learners, plan)
    checkpoint = folder / f"{stage.name}.checkpoint"
    if checkpoint.exists():
        state.load(checkpoint)
    processes.wait()  # nobody writes before everybody has read
    keep_memory()

    told = watch(stage.name, plan.steps, state.step)
    journal = Journal(folder, stage.name, state.step) if processes.rank() == 0 else None
    drawer = Drawer(stage, seed)
    since, counted = time.monotonic(), 0
    try:
        while not state.over:
            measures = processes.average_measures(learn_step(stage, state, drawer, device))
            state.finish_step()
            told(measures)
            counted += 1
            if plan.validate_every and (state.step % plan.validate_every == 0 or state.over):
                measures["validation"] = stage.validation_loss(state.learned.eval())
                state.learned.train()
                state.validated(measures["validation"])
            late = processes.any_of(time.monotonic() > deadline, device)  # so every run gets on
            stops = late and not state.over
            due = state.step % EVERY == 0 or state.over or stops or "validation" in measures
            if journal and due:
                per_second = counted * plan.batch / (time.monotonic() - since)
                journal.record(state.step, measures, per_second, stops)
                since, counted = time.monotonic(), 0
            if journal and plan.sheet_every and (state.step % plan.sheet_every == 0 or state.over):
                show(stage, state, journal)
            if journal and (late or state.over or state.step % plan.checkpoint_every == 0):
                state.save(checkpoint)
            if stops:
                return None
    finally:
        drawer.close()
        if journal:
            journal.close()
    return state.best().eval().requires_grad_(False)


def learn_step(
    stage: Stage, state: State, drawer: Drawer, device: torch.device
) -> dict[str, float]:
    """One step: each lesson in all its parts, then the next. Returns its measures, their means."""
    narrow = (stage.plan.precision or fast_precision(device.type)) == "bfloat16"
    parts = [
        stage.lessons({name: rows.to(device) for name, rows in batch.items()}, chance)
        for batch, chance in drawer.parts(state.step)
    ]
    measures: dict[str, float] = {}
    while True:
        state.forget_gradients()
        taught: tuple[str, ...] | None = None
        for part in parts:
            with torch.autocast(device.type, torch.bfloat16, enabled=narrow):
                lesson = next(part, None)
            if lesson is None:
                return measures
            if not torch.isfinite(lesson.loss):
                raise RecipeError(
                    f"The loss of stage {stage.name} is {lesson.loss.item()} at step {state.step}: "
                    f"lower its learning rate of {stage.plan.learning_rate:g} and run again "
                    "with --resume."
                )
            (lesson.loss / len(parts)).backward()
            taught = lesson.taught
            for name, value in lesson.measures.items():
                measures[name] = measures.get(name, 0.0) + value.item() / len(parts)
        assert taught is not None
        state.update(taught)


def show(stage: Stage, state: State, journal: Journal) -> None:
    """Paint what was learned so far, and leave everything as it was."""
    network = state.learned
    with torch.no_grad():
        painted = stage.samples(network.eval())
    network.train()
    if painted is not None:
        journal.show(state.step, *painted)
