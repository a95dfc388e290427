"""Arguments and options shared by commands, so that they mean the same everywhere."""

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_MODEL, DEFAULT_STYLE_MODEL = "pocket", "weather"  # of those that paint, and restyle
LATEST_START_S = 1_000_000  # eleven days: no file is longer
LONGEST_WALK = 500  # pictures of a sweep, all of which are in memory
QUIETEST_DB, LOUDEST_DB = -120, 60  # of every gain
LARGEST_SEED = 2**32 - 1  # easily typed, and exact in every program that reads the JSON


class Device(StrEnum):
    """Where the networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


def not_nan(value: float | None) -> float | None:
    """Refuses what passes every bound, since it compares with none."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter("nan is not a number.")
    return value


def require_one_stdin(*sources: str | None) -> None:
    """Standard input can be read once."""
    if sources.count("-") > 1:
        raise typer.BadParameter("Standard input (-) can be named only once.")


def require_still(bounce: bool, once: bool, sheet: bool) -> None:
    """What is for several pictures is not asked of one."""
    if bounce or once or sheet:
        raise typer.BadParameter("--bounce, --once and --sheet are for a sweep of pictures.")


def gain_db(name: str, help: str) -> Any:
    """An option that makes a sound louder or quieter."""
    return typer.Option(
        name, min=QUIETEST_DB, max=LOUDEST_DB, callback=not_nan, metavar="DB", help=help
    )


def pictures_of_sweep(name: str, help: str) -> Any:
    """An option that asks for several pictures, along which one number changes."""
    return typer.Option(name, min=2, max=LONGEST_WALK, metavar="N", help=help, show_default=False)


def seed_of(help: str) -> Any:
    """An option that begins a draw by chance."""
    return typer.Option("--seed", "-s", min=0, max=LARGEST_SEED, metavar="N", help=help)


Sounds = Annotated[
    list[str],
    typer.Argument(
        metavar="SOUND",
        help="Sound or video files, folders of them, or - for standard input.",
        show_default=False,
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="PATH",
        help="Picture file (.png, .jpg, .webp), or a folder. Default: here, named after the sound.",
        show_default=False,
    ),
]
Count = Annotated[
    int,
    typer.Option(
        "--count",
        "-n",
        min=1,
        metavar="N",
        help="Pictures per sound, with seeds counted up.",
    ),
]
Seed = Annotated[int, seed_of("Same input and seed, same picture.")]
Start = Annotated[
    float,
    typer.Option(
        "--start",
        min=0,
        max=LATEST_START_S,
        callback=not_nan,
        metavar="SECONDS",
        help="Which part of a long sound: where to begin listening.",
    ),
]
Truncation = Annotated[
    float,
    typer.Option(
        "--truncation",
        min=0,
        max=2,
        callback=not_nan,
        metavar="SCALE",
        help="Of the noise, 0 to 2: below 1 more typical, less varied.",
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        "--size",
        min=16,
        max=8192,
        metavar="PX",
        help="Side of the picture, by Lanczos. Default: as the model paints it.",
        show_default=False,
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="A name that `s2s models list` shows, or a folder.",
    ),
]
StyleModel = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="A model that restyles: a name that `s2s models list` shows, or a folder.",
    ),
]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where to compute.")]
Length = Annotated[
    float | None,
    typer.Option(
        "--length",
        min=0.1,
        max=LATEST_START_S,
        callback=not_nan,
        metavar="SECONDS",
        help="Of the film. Default: to the end of the sound or video.",
        show_default=False,
    ),
]
Smooth = Annotated[
    float,
    typer.Option(
        "--smooth",
        min=0,
        max=60,
        callback=not_nan,
        metavar="SECONDS",
        help="Over which what is heard during a film is smoothed; 0 not at all.",
    ),
]
Sheet = Annotated[
    bool,
    typer.Option(
        "--sheet",
        help="Also write one labelled page of everything painted.",
    ),
]
Show = Annotated[
    bool,
    typer.Option("--show", help="Preview each picture in the terminal."),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="One JSON object a line instead of one path a line.",
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="No progress, notes or previews; errors only.",
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        "-f",
        help="Replace files that were made in another way.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Read what is given, say what would be written, and stop.",
    ),
]
Steps = Annotated[
    int,
    typer.Option("--steps", min=2, max=LONGEST_WALK, metavar="N", help="How many pictures."),
]
Fps = Annotated[
    float,
    typer.Option(
        "--fps",
        min=0.1,
        max=60,
        callback=not_nan,
        metavar="N",
        help="Frames a second of a GIF, WebP or film.",
    ),
]
Bounce = Annotated[
    bool,
    typer.Option("--bounce", help="There and back again."),
]
Once = Annotated[
    bool,
    typer.Option("--once", help="A GIF or WebP ends at its last frame, and does not start over."),
]
OneOrSweep = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="PATH",
        help="Picture file, or a folder; of a --sweep what moves (.gif, .webp, .mp4, .webm), a "
        "labelled strip (.png, .jpg) or a folder of frames. Default: a picture, or a GIF, here.",
        show_default=False,
    ),
]
Moving = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="PATH",
        help="What moves (.gif, .webp, .mp4, .webm), a labelled strip (.png, .jpg), or a folder "
        "for the frames. Default: a GIF, here.",
        show_default=False,
    ),
]
Strip = Annotated[
    bool,
    typer.Option("--sheet", help="Also write the labelled strip, as in the paper's figures."),
]
EvaluationData = Annotated[
    Path,
    typer.Option(
        "--data", help="The folder with photos/val-*.tar and sounds/val-*.tar.", readable=False
    ),
]
TableFile = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        help="Write the table besides: .txt, .md, .tex or .json.",
        show_default=False,
        readable=False,
    ),
]


def names_of(listed: str) -> list[str]:
    """The names in a list with commas, each once."""
    return list(dict.fromkeys(name.strip() for name in listed.split(",") if name.strip()))
