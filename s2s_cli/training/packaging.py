"""A finished run becomes a model with a name, a recipe and a card, as those in models/ have."""

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import tomli_w

from s2s_cli import registry, verification
from s2s_cli.errors import OutputError, RecipeError
from s2s_cli.imports import new_folder
from s2s_cli.training.curriculum import MODEL, ORIGIN, parameters_of
from s2s_cli.training.journal import RECIPE, progress_of, read_log

CARD = """# {name}

What it draws, and what well and what badly: to be written by whoever has looked at its pictures.

## Networks

| network | weights | size |
|---|---|---|
{networks}

## How it was trained

`s2s train recipe.toml --data DIR`, with s2s {s2s}{commit}, torch {torch} and Python {python}
on {machine}.

| stage | steps | batch | measured last | time |
|---|---|---|---|---|
{stages}

## Data and licences

From which photos and sounds it learned, and under which licences they are: to be written by whoever
has them. Their lists of names and sizes have these SHA-256:

| set | SHA-256 |
|---|---|
{data}
"""


def package(run: Path, name: str, folder: Path, force: bool = False) -> Path:
    """Make ``folder/name`` of a finished run.

    Returns:
        The new folder.

    Raises:
        RecipeError: there is no run, or it is not finished.
        ModelError: a model cannot be called so.
        OutputError: a model of this name is there, or the disk takes none.
    """
    stages = progress_of(run)
    waiting = ", ".join(stage.stage for stage in stages if stage.state != "done")
    # A kill may have left a part of the model, whose hashes come last.
    if waiting or not registry.is_model(run / MODEL) or not whole(run / MODEL):
        raise RecipeError(
            f"{run} is not finished ({waiting or 'its model'} is missing): run s2s train again."
        )
    target = new_folder(name, folder)
    if target.exists() and not force:
        raise OutputError(f"{target} is there already: replace it with --force, or take another.")
    recipe = json.loads((run / RECIPE).read_text(encoding="utf-8"))
    recipe["name"] = name
    draft = folder / f".{name}.{uuid4().hex[:8]}.part"
    with registry.unwritable(target):
        try:
            shutil.copytree(run / MODEL, draft)
            text = tomli_w.dumps(spelt(recipe))
            head = f"# s2s train models/{name}/recipe.toml --data DIR\n"
            (draft / "recipe.toml").write_text(head + text, encoding="utf-8")
            (draft / registry.CARD).write_text(card(run, name), encoding="utf-8")
            registry.replace_folder(draft, target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return target


def whole(model: Path) -> bool:
    """Whether a model is what it says it is, and works."""
    return all(check.ok for check in verification.verify(model))


def spelt(table: dict[str, Any]) -> dict[str, Any]:
    """Tables as recipes are written: with hyphens, and without what is not set."""
    return {
        key.replace("_", "-"): spelt(value) if isinstance(value, dict) else value
        for key, value in table.items()
        if value is not None
    }


def card(run: Path, name: str) -> str:
    """What is known about a run, as its model's card."""
    origin = json.loads((run / ORIGIN).read_text(encoding="utf-8"))
    networks = []
    for file in registry.weight_files(run / MODEL):
        network = registry.load_network(run / MODEL / file)
        size = (run / MODEL / file).stat().st_size
        networks.append(f"| `{file}` | {parameters_of(network.config):,} | {size / 1e6:.1f} MB |")
    rows = []
    log = read_log(run)
    table = json.loads((run / RECIPE).read_text(encoding="utf-8"))
    for stage in progress_of(run):
        plan = table[stage.stage.replace("-", "_")]["plan"]
        measured = ", ".join(f"{key} {value:.4g}" for key, value in stage.measures.items())
        seconds = sum(entry["seconds"] for entry in log if entry["stage"] == stage.stage)
        rows.append(
            f"| {stage.stage} | {stage.step:,} | {plan['batch']} | {measured} | "
            f"{timedelta(seconds=round(seconds))} |"
        )
    git = origin["git"]
    return CARD.format(
        name=name,
        networks="\n".join(networks),
        stages="\n".join(rows),
        data="\n".join(f"| {kind} | {digest} |" for kind, digest in origin["data"].items()),
        commit=f" at {git['commit'][:12]}{' and changes' if git['changed'] else ''}" if git else "",
        **{key: origin[key] for key in ("s2s", "torch", "python", "machine")},
    )
