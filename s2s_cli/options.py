"""Arguments and options shared by commands, so that they mean the same everywhere."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_MODEL = "pocket"
LARGEST_SEED = 2**63 - 1


class Device(StrEnum):
    """Where the networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"


Sounds = Annotated[
    list[Path],
    typer.Argument(
        metavar="SOUND...",
        help="Sound or video files, folders of them, or - for standard input.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="Picture file (.png, .jpg, .webp), or a folder. Default: here, named after the sound.",
        show_default=False,
    ),
]
Count = Annotated[
    int, typer.Option("--count", "-n", min=1, help="Pictures per sound, with seeds counted up.")
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed", "-s", min=0, max=LARGEST_SEED, help="Same sound and seed, same picture."
    ),
]
Model = Annotated[
    str,
    typer.Option("--model", "-m", help="A name that `s2s models list` shows, or a folder."),
]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where to compute.")]
Start = Annotated[
    float,
    typer.Option(
        "--start", min=0, metavar="SECONDS", help="Which part of a long sound: where to begin."
    ),
]
Truncation = Annotated[
    float,
    typer.Option(
        "--truncation", min=0, max=2, help="Scale of the noise: lower is more typical, less varied."
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        "--size",
        min=16,
        max=8192,
        metavar="PX",
        help="Side of the picture in pixels, by Lanczos. Default: as the model paints it.",
        show_default=False,
    ),
]
Sheet = Annotated[
    bool,
    typer.Option("--sheet", help="Also write one labelled contact sheet of everything painted."),
]
Show = Annotated[bool, typer.Option("--show", help="Preview each picture in the terminal.")]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON object a line instead of one path a line.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress, notes or previews; errors only.")
]
Force = Annotated[
    bool, typer.Option("--force", "-f", help="Replace files that were made in another way.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Read every sound, say what would be written, stop.")
]
