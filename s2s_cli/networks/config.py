"""Frozen dataclasses to plain tables (JSON, TOML) and back, every fault found at once."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from s2s_cli.errors import nearest

Config = TypeVar("Config")


def to_table(config: Any) -> dict[str, Any]:
    """A config as nested dictionaries, lists and plain values."""
    table: dict[str, Any] = asdict(config)
    return table


def from_table(kind: type[Config], table: Mapping[str, Any]) -> Config:
    """Build a dataclass from nested tables.

    Names may be written with hyphens or underscores.

    Raises:
        ValueError: names or values that do not fit: all of them at once, each with its place.
    """
    faults: list[str] = []
    config = build(kind, table, "", faults)
    if faults:
        raise ValueError("; ".join(faults))
    built: Config = config
    return built


def build(kind: Any, value: Any, place: str, faults: list[str]) -> Any:
    """``value`` as a ``kind``; what does not fit is added to ``faults``."""
    if is_dataclass(kind):
        return build_dataclass(kind, value, place, faults)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if value is None:
            return None
        return build_one_of([a for a in arguments if a is not NoneType], value, place, faults)
    if origin is Literal:
        if value not in arguments:
            faults.append(f"{place} = {value!r} must be one of {', '.join(map(repr, arguments))}")
        return value
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        if value not in list(kind):
            faults.append(f"{place} = {value!r} must be one of {', '.join(kind)}")
            return value
        return kind(value)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            faults.append(f"{place} = {value!r} must be a list")
            return ()
        variadic = len(arguments) == 2 and arguments[1] is Ellipsis
        if not variadic and len(arguments) != len(value):
            faults.append(f"{place} = {value!r} must have {len(arguments)} entries")
            return ()
        kinds = [arguments[0]] * len(value) if variadic else arguments
        return tuple(build(k, v, place, faults) for k, v in zip(kinds, value, strict=True))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        faults.append(f"{place} = {value!r} must be {NAMES.get(kind, kind)}")
    return value


def build_one_of(kinds: list[Any], value: Any, place: str, faults: list[str]) -> Any:
    """``value`` as one of ``kinds``: of several, which are tables, ``family`` tells which."""
    if len(kinds) > 1 and isinstance(value, Mapping):
        families = {get_args(get_type_hints(kind)["family"])[0]: kind for kind in kinds}
        named = value.get("family", next(iter(families)))
        if named not in families:
            known = ", ".join(map(repr, families))
            faults.append(f"{place}.family = {named!r} must be one of {known}")
            return None
        return build(families[named], value, place, faults)
    return build(kinds[0], value, place, faults)


NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def build_dataclass(kind: Any, value: Any, place: str, faults: list[str]) -> Any:
    """A table as a dataclass: unknown names, missing names and wrong values are faults."""
    if not isinstance(value, Mapping):
        faults.append(f"{place} must be a table")
        return None
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}
    given = {str(name).replace("-", "_"): entry for name, entry in value.items()}
    inside = f"{place}." if place else ""
    for name in sorted(given.keys() - known.keys()):
        faults.append(f"{inside}{name} is unknown. {nearest(name, list(known))}")
    needed = {n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING}
    faults.extend(f"{inside}{name} is missing" for name in sorted(needed - given.keys()))
    before = len(faults)
    arguments = {
        name: build(hints[name], given[name], inside + name, faults)
        for name in known
        if name in given
    }
    return kind(**arguments) if len(faults) == before and needed <= given.keys() else None
