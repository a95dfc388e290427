"""``s2s train``: a recipe and data become a model."""

import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli import console, options

if TYPE_CHECKING:
    from s2s_cli.training.recipe import AnyRecipe

RecipeFile = Annotated[
    Path | None,
    typer.Argument(metavar="RECIPE", help="A recipe.toml.", readable=False, show_default=False),
]
DataFolder = Annotated[
    str,
    typer.Option(
        "--data", metavar="PATH", help="Folder or URL below which the recipe's shards lie."
    ),
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
StageName = Annotated[
    str | None,
    typer.Option(
        "--stage", metavar="STAGE", help="Learn this stage alone, and stop.", show_default=False
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on from the last checkpoint though recipe or data have changed."
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting, as in generator.plan.steps=500. May be repeated.",
        show_default=False,
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--time-budget", metavar="25m", help="Stop resumably after this time.", show_default=False
    ),
]
Status = Annotated[
    Path | None,
    typer.Option(
        "--status", metavar="RUN", help="Say how far a run has come, and stop.", show_default=False
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
    recipe: RecipeFile = None,
    data: DataFolder = "data",
    out: Run = None,
    stage: StageName = None,
    resume: Resume = False,
    changes: Set = None,
    device: options.DeviceOption = options.Device.AUTO,
    time_budget: Budget = None,
    status: Status = None,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a model from a recipe. The same command goes on after a stop or a kill.

    Prints the finished model's folder. Started by torchrun -m s2s_cli train, several processes
    share each batch.
    """
    console.be_quiet(quiet)
    budget_s = seconds_of(time_budget)
    if status is not None:
        return tell_status(status, json)
    if recipe is None:
        raise typer.BadParameter("name a recipe, or a run with --status.", param_hint="RECIPE")
    from s2s_cli.training.recipe import read_recipe

    plan = read_recipe(recipe, changes or ())
    if stage is not None and stage not in plan.stages:
        known = ", ".join(plan.stages)
        raise typer.BadParameter(f"'{stage}' is no stage of {recipe}: it has {known}.")
    run = out or Path("runs") / plan.name
    if dry_run:
        return tell_plan(plan, data, run, json)
    import torch

    from s2s_cli.studio import choose_device
    from s2s_cli.training import processes
    from s2s_cli.training.curriculum import OutOfTimeError, curriculum_of

    place = choose_device(device)
    processes.join(place)
    if processes.rank():
        console.be_quiet(True)
    with ExitStack() as bars:

        def watch(stage: str, steps: int, done: int) -> Callable[[Mapping[str, float]], None]:
            bar = bars.enter_context(console.progress(stage, steps, "steps", done))
            return lambda measures: bar.advance(1, **measures)

        try:
            curriculum = curriculum_of(
                plan,
                data,
                run,
                device=torch.device(place),
                watch=watch,
                budget_s=budget_s,
                only=stage,
                resume=resume,
            )
            model = curriculum.learn()
        except OutOfTimeError:
            console.note(f"The time is over; the same command goes on from {run}.")
            raise typer.Exit from None
    if processes.rank():
        return
    if model is None:
        console.note(f"Stage {stage} is done; {run} waits for the others.")
        return
    console.note(f"Done. Try it: s2s {use_of(plan, data)} {model}")
    if json:
        console.answer_json({"model": str(model), "run": str(run)})
    else:
        console.answer(model)


def use_of(plan: "AnyRecipe", data: str) -> str:
    """What a model of this recipe is good for, up to its name."""
    return {
        "stylizer": "stylize photo.jpg rain.wav --model",
        "judge": f"eval judge --data {data} --model",
        "localiser": "pairs VIDEOS -o pairs --localiser",
    }.get(next(iter(plan.stages)), "generate rain.wav --model")


def tell_plan(plan: "AnyRecipe", data: str, run: Path, json: bool) -> None:
    """What a run would do."""
    from s2s_cli.networks.config import to_table
    from s2s_cli.training.curriculum import outline

    told = outline(plan, data, run)
    if json:
        console.answer_json({**told, "recipe": to_table(plan)})
        return
    for kind, count in told["data"].items():
        console.answer(f"{kind}\t{count:,}")
    for stage in told["stages"]:
        console.answer(
            f"{stage['stage']}\t{stage['steps']:,} steps of {stage['batch']}\t"
            f"learning rate {stage['learning_rate']:g}\t{stage['parameters'] / 1e6:.2f} million "
            f"weights\t{stage['state']}"
        )
    console.answer(f"run\t{run}")


def tell_status(run: Path, json: bool) -> None:
    """How far a run has come."""
    from s2s_cli.training.journal import progress_of

    stages = progress_of(run)
    for stage in stages:
        if json:
            console.answer_json(vars(stage))
            continue
        words = [stage.stage, f"{stage.step:,} of {stage.steps:,} steps", stage.state]
        words += [f"{name} {value:.4g}" for name, value in stage.measures.items()]
        if stage.per_second:
            words.append(f"{stage.per_second:.3g} items/s")
        if stage.seconds_left is not None:
            words.append(f"{timedelta(seconds=round(stage.seconds_left))} left")
        if stage.seconds_ago is not None:
            words.append(f"{timedelta(seconds=round(stage.seconds_ago))} ago")
        console.answer("\t".join(words))
    for stage in stages:
        if stage.state == "stopped":
            console.note(f"Stage {stage.stage} was stopped: the same s2s train command goes on.")
