"""When learning is over, and which weights are kept, on a weight whose way is known."""

import json
import math

import pytest
import torch

from s2s_cli.errors import RecipeError
from s2s_cli.training.loop import SingleStage, train
from s2s_cli.training.recipe import Plan
from s2s_cli.training.state import State

RATE = 0.1


def plan(**settings) -> Plan:
    """Adam at one rate: where the gradient is 1, each step goes exactly that far down."""
    return Plan(
        **{
            "steps": 20, "batch": 1, "learning_rate": RATE, "warmup_steps": 0, "decay_steps": 0,
            "weight_decay": 0.0, "clip_norm": 0.0, "checkpoint_every": 1, "validate_every": 1,
            "patience": 2, **settings,
        }
    )  # fmt: skip


class Sliding(SingleStage):
    """A weight that begins at 0 and slides down by RATE each step; best is what is nearest."""

    name = "sliding"

    def __init__(self, plan: Plan, best: float) -> None:
        self.plan, self.best, self.measured = plan, best, []
        self.network = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(self.network.weight)

    def draw(self, chance):
        return {}

    def losses(self, batch, chance):
        return {"loss": self.network(torch.ones(1, 1)).sum()}

    def validation_loss(self, network):
        weight = network.weight.item()
        self.measured.append(round(weight / -RATE, 3))  # after so many steps
        return (weight - self.best) ** 2


def learn(stage, folder, deadline=float("inf")):
    """The learned weight in steps; None if the deadline came first."""
    network = train(
        stage, folder, seed=0, device=torch.device("cpu"), watch=lambda *_: lambda _: None,
        deadline=deadline,
    )  # fmt: skip
    return None if network is None else network.weight.item() / -RATE


def logged(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").open()]


def test_it_ends_when_patience_does_and_keeps_the_best(tmp_path):
    stage = Sliding(plan(), best=-0.31)
    assert learn(stage, tmp_path) == pytest.approx(3, abs=1e-4)
    assert stage.measured == [1, 2, 3, 4, 5]  # two were no better than the third
    assert [entry["step"] for entry in logged(tmp_path)] == [1, 2, 3, 4, 5]
    wanted = [(0.31 - RATE * step) ** 2 for step in range(1, 6)]
    assert [entry["validation"] for entry in logged(tmp_path)] == pytest.approx(wanted, abs=1e-5)


def test_patience_counts_measurements_and_not_steps(tmp_path):
    stage = Sliding(plan(validate_every=3, patience=1), best=-0.5)
    assert learn(stage, tmp_path) == pytest.approx(6, abs=1e-4)
    assert stage.measured == [3, 6, 9]


def test_what_gets_better_again_is_waited_for(tmp_path):
    """Better, worse, better, worse, worse: it ends two after the last best."""
    stage, course = Sliding(plan(), best=0), iter([5.0, 6.0, 4.0, 7.0, 8.0])
    stage.validation_loss = lambda network: next(course)
    assert learn(stage, tmp_path) == pytest.approx(3, abs=1e-4)
    assert list(course) == []


def test_a_plan_that_ends_first_is_measured_at_its_end_and_keeps_the_best(tmp_path):
    stage = Sliding(plan(steps=5, validate_every=2), best=-0.42)
    assert learn(stage, tmp_path) == pytest.approx(4, abs=1e-4)
    assert stage.measured == [2, 4, 5]


def test_without_validation_the_last_weights_are_kept(tmp_path):
    stage = Sliding(plan(steps=5, validate_every=0), best=0)
    assert learn(stage, tmp_path) == pytest.approx(5, abs=1e-4)
    assert stage.measured == []
    assert "validation" not in logged(tmp_path)[-1]


def test_of_a_moving_average_the_best_is_kept(tmp_path):
    """It is what is measured: half of the last average, and half of the weight."""
    average, averages = 0.0, []
    for step in range(1, 9):
        average = step if step == 1 else (average + step) / 2  # the first is taken as it is
        averages.append(average)
    stage = Sliding(plan(ema_decay=0.5), best=-RATE * averages[3])
    assert learn(stage, tmp_path) == pytest.approx(averages[3], abs=1e-4)
    assert stage.measured == pytest.approx(averages[:6], abs=1e-3)


def test_a_loss_that_is_no_number_is_never_the_best(tmp_path):
    stage, course = Sliding(plan(), best=0), iter([3.0, math.nan, 2.0, math.nan, math.nan])
    stage.validation_loss = lambda network: next(course)
    assert learn(stage, tmp_path) == pytest.approx(3, abs=1e-4)


def test_a_run_stopped_after_every_step_waits_as_long_and_keeps_the_same(tmp_path):
    measured, stops = [], 0
    while (learned := learn(stage := Sliding(plan(), best=-0.31), tmp_path, deadline=0)) is None:
        measured, stops = measured + stage.measured, stops + 1
    assert learned == pytest.approx(3, abs=1e-4)
    assert measured + stage.measured == [1, 2, 3, 4, 5]
    assert stops == 4
    # Once it is over, it stays so.
    again = Sliding(plan(), best=-0.31)
    assert learn(again, tmp_path) == learned
    assert again.measured == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(b""),
        lambda path: torch.save({"step": 1}, path),
        lambda path: torch.save([1, 2], path),
    ],
)
def test_a_damaged_checkpoint_is_a_sentence(spoil, tmp_path):
    learn(Sliding(plan(), best=0), tmp_path, deadline=0)
    spoil(tmp_path / "sliding.checkpoint")
    with pytest.raises(RecipeError, match=r"sliding\.checkpoint is damaged or of another recipe"):
        learn(Sliding(plan(), best=0), tmp_path)


def test_a_checkpoint_runs_no_code(tmp_path):
    """Whoever sends one must not own the machine."""

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"step": Trap()}, tmp_path / "sliding.checkpoint")
    with pytest.raises(RecipeError, match="is damaged"):
        learn(Sliding(plan(), best=0), tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_gives_back_all_that_a_state_is(tmp_path):
    learn(Sliding(plan(ema_decay=0.5), best=-0.31), tmp_path, deadline=0)
    stage = Sliding(plan(ema_decay=0.5), best=0)
    state = State(stage.network, stage.learners, stage.plan)
    state.load(tmp_path / "sliding.checkpoint")
    assert state.step == 1
    kept = [state.network.weight, state.learned.weight, state.validation.weights["weight"]]
    assert [weight.item() for weight in kept] == pytest.approx([-RATE] * 3, abs=1e-6)
    assert state.validation.loss == pytest.approx(0.21**2, abs=1e-5)
    adam = state.optimisers["network"].state_dict()["state"][0]
    assert adam["exp_avg"].item() == pytest.approx(0.1)  # a tenth of the gradient, 1
    assert adam["exp_avg_sq"].item() == pytest.approx(0.001)
