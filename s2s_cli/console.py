"""The only module that prints. Answers go to standard output, everything else to standard error."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from s2s_cli.errors import OutputError

if TYPE_CHECKING:
    from rich.console import Console

_settings = {"quiet": False}


@cache
def stderr() -> "Console":
    """Where notes, progress and errors go; Rich loads with the first of them."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def be_quiet(quiet: bool) -> None:
    """With ``--quiet`` notes, progress and previews are left out; errors never are."""
    _settings["quiet"] = quiet


def answer(text: str | os.PathLike[str]) -> None:
    """One line for the next program in the pipe.

    Raises:
        OutputError: standard output takes no more, because a disk is full, say.
    """
    if sys.stdout is None:  # closed by whoever started us: nobody wants to know
        return
    try:
        # A file name need not be valid UTF-8: it goes out as the bytes it came in as.
        sys.stdout.buffer.write(os.fsencode(text) + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as fault:
        raise OutputError(
            f"Standard output cannot be written ({fault.strerror}): send it elsewhere."
        ) from fault


def answer_json(table: Mapping[str, Any]) -> None:
    """One JSON object on one line."""
    answer(json.dumps(table, default=os.fspath))


def note(text: str) -> None:
    """Something worth knowing while it works."""
    if not _settings["quiet"]:
        stderr().print(printable(text), markup=False)


def warn(text: str) -> None:
    """Something that must not pass unseen, even with ``--quiet``."""
    stderr().print("[bold yellow]warning:[/]", end=" ")
    stderr().print(printable(text), markup=False)


def error(text: str) -> None:
    """What went wrong, in one sentence."""
    stderr().print("[bold red]error:[/]", end=" ")
    stderr().print(printable(text), markup=False)


def printable(text: object) -> str:
    """Text that any terminal takes: what is no text, or would command the terminal, shows as �."""
    readable = str(text).encode("utf-8", "replace").decode()
    return "".join(
        c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in readable
    )


class Progress:
    """A progress bar that is going on."""

    def __init__(self, bar: Any, task: Any) -> None:
        self._bar, self._task = bar, task

    def advance(self, amount: float = 1, **fields: float) -> None:
        """``amount`` more is done; ``fields`` are shown beside the bar."""
        measured = "  ".join(f"{name} {value:.4g}" for name, value in fields.items())
        self._bar.update(self._task, advance=amount, measured=measured)


@contextmanager
def progress(title: str, total: float | None, unit: str = "", done: int = 0) -> Iterator[Progress]:
    """A bar with the time left, on a terminal only; it vanishes when the work is done.

    Args:
        title: what is going on.
        total: when it is complete, in ``unit``; None if nobody knows.
        unit: what is counted; "bytes" are shown in megabytes and with their speed.
        done: how much was done before.
    """
    from rich import progress as bars

    counted: list[bars.ProgressColumn] = (
        [bars.DownloadColumn(), bars.TransferSpeedColumn()]
        if unit == "bytes"
        else [bars.MofNCompleteColumn(), bars.TextColumn(unit)]
    )
    with bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        *counted,
        bars.TimeRemainingColumn(),
        bars.TextColumn("[dim]{task.fields[measured]}"),
        console=stderr(),
        transient=True,
        disable=_settings["quiet"] or not stderr().is_terminal,
    ) as bar:
        yield Progress(bar, bar.add_task(title, total=total, completed=done, measured=""))


def preview(picture: Any) -> None:
    """A small view of an (H, W, 3) uint8 picture in the terminal."""
    if not _settings["quiet"]:
        from s2s_cli.preview import show

        show(picture, stderr())
