"""Registers the commands; the one place where errors become sentences."""

import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from s2s_cli import __version__, console
from s2s_cli.commands import (
    edit,
    evaluate,
    film,
    generate,
    info,
    interpolate,
    mix,
    models,
    pairs,
    redo,
    stylize,
    train,
    volume_sweep,
)
from s2s_cli.errors import S2SError

app = typer.Typer(
    name="s2s",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Rich's help would take as long to load as everything else together
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Try: s2s generate rain.wav --show",
)
app.command()(generate.generate)
app.command()(mix.mix)
app.command("volume-sweep")(volume_sweep.volume_sweep)
app.command()(interpolate.interpolate)
app.command()(edit.edit)
app.command()(film.film)
app.command()(stylize.stylize)
app.command()(info.info)
app.command()(redo.redo)
app.command()(pairs.pairs)
app.command()(train.train)
app.add_typer(evaluate.app, name="eval")
app.add_typer(models.app, name="models")


def print_version(wanted: bool) -> None:
    """``s2s --version``."""
    if wanted:
        console.answer(f"s2s {__version__}")
        raise typer.Exit


@app.callback()
def s2s(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=print_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    """Sounds become pictures.

    Standard output carries only the paths written, so that commands fit into shell scripts. Exit
    codes: 0 all done, 1 something you can mend, 2 wrong usage, 130 interrupted.
    """


def end(signal_number: int, _frame: FrameType | None) -> None:
    """SIGTERM ends the program as Ctrl-C does, tidying up on the way."""
    sys.exit(128 + signal_number)


def main() -> None:
    """The command ``s2s``."""
    signal.signal(signal.SIGTERM, end)
    try:
        app(prog_name="s2s")
    except S2SError as error:
        console.error(str(error))
        sys.exit(1)
    except OSError as error:  # the last net: disks and folders fail in more ways than we foresaw
        where = f"'{error.filename}'" if error.filename else "A file"
        console.error(f"{where} cannot be used ({error.strerror or error}): try another place.")
        sys.exit(1)
