"""Recipes, setting by setting."""

from collections.abc import Iterator
from typing import Any

from s2s_cli.networks.config import to_table
from s2s_cli.training.recipe import AnyRecipe


def settings_of(recipe: AnyRecipe) -> dict[str, Any]:
    """Every setting by its whole name, as ``generator.plan.steps``."""

    def walk(table: dict[str, Any], place: str) -> Iterator[tuple[str, Any]]:
        for name, value in table.items():
            if isinstance(value, dict):
                yield from walk(value, f"{place}{name}.")
            else:
                yield place + name, value

    return dict(walk(to_table(recipe), ""))


def difference(recipe: AnyRecipe, other: AnyRecipe) -> dict[str, Any]:
    """What a recipe says otherwise than another one; what only that one says is None."""
    here, there = settings_of(recipe), settings_of(other)
    names = sorted(here.keys() | there.keys())
    return {name: here.get(name) for name in names if here.get(name) != there.get(name)}
