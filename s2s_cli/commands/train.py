"""``s2s train``: a recipe and data become a model."""

import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from s2s_cli import console, options

RecipeFile = Annotated[
    Path, typer.Argument(metavar="RECIPE", help="A recipe.toml.", readable=False)
]
DataFolder = Annotated[
    Path, typer.Option("--data", help="The folder that the recipe's shards lie in.", readable=False)
]
Run = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="Folder of the run; an unfinished one is gone on with. Default: runs/NAME.",
        show_default=False,
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--time-budget", metavar="25m", help="Stop resumably after this time.", show_default=False
    ),
]


def seconds_of(text: str | None) -> float:
    """How long a text such as 90s, 25m or 3h is. No text is for ever."""
    if text is None:
        return float("inf")
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if match is None:
        raise typer.BadParameter(f"'{text}' is no time: write 90s, 25m or 3h.")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


def train(
    recipe: RecipeFile,
    data: DataFolder = Path("data"),
    out: Run = None,
    device: options.DeviceOption = options.Device.AUTO,
    time_budget: Budget = None,
    quiet: options.Quiet = False,
) -> None:
    """Train a model from a recipe. The same command goes on after a stop or a kill.

    Prints the finished model's folder.
    """
    console.be_quiet(quiet)
    budget_s = seconds_of(time_budget)
    import torch

    from s2s_cli.studio import choose_device
    from s2s_cli.training.curriculum import OutOfTimeError, curriculum_of
    from s2s_cli.training.recipe import JudgingRecipe, StyleRecipe, read_recipe

    plan = read_recipe(recipe)
    run = out or Path("runs") / plan.name
    with ExitStack() as bars:

        def watch(stage: str, steps: int, done: int) -> Callable[[Mapping[str, float]], None]:
            bar = bars.enter_context(console.progress(stage, steps, "steps", done))
            return lambda measures: bar.advance(1, **measures)

        try:
            curriculum = curriculum_of(
                plan,
                data,
                run,
                device=torch.device(choose_device(device)),
                watch=watch,
                budget_s=budget_s,
            )
            model = curriculum.learn()
        except OutOfTimeError:
            console.note(f"The time is over; the same command goes on from {run}.")
            raise typer.Exit from None
    use = "generate rain.wav"
    if isinstance(plan, StyleRecipe):
        use = "stylize photo.jpg rain.wav"
    elif isinstance(plan, JudgingRecipe):
        use = f"eval judge --data {data}"
    console.note(f"Done. Try it: s2s {use} --model {model}")
    console.answer(model)
