"""``s2s redo``: make a picture again from what it knows of itself."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from s2s_cli import console, options

Made = Annotated[
    Path, typer.Argument(metavar="FILE", help="A picture that s2s wrote.", readable=False)
]
SoundAt = Annotated[
    list[Path] | None,
    typer.Option(
        "--sound",
        metavar="FILE",
        readable=False,
        help="Where the sound is now, if it was moved; once for each sound, in their order.",
        show_default=False,
    ),
]


ModelAt = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Where the model is now, if it moved.", show_default=False),
]


DeviceAt = Annotated[
    options.Device | None,
    typer.Option("--device", help="Default: where it was painted.", show_default=False),
]


def redo(
    picture: Made,
    out: options.Out = None,
    sound: SoundAt = None,
    model: ModelAt = None,
    device: DeviceAt = None,
    show: options.Show = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    force: options.Force = False,
) -> None:
    """Make a picture again, byte for byte.

    The sound and the model must be the very same; both are compared by their hashes. The result
    is written to --out, by default beside the picture as NAME-redo.
    """
    console.be_quiet(quiet)
    from s2s_cli.audio.sound import STDIN
    from s2s_cli.delivery import Delivery
    from s2s_cli.errors import ModelError, PictureError, SoundError
    from s2s_cli.networks.config import from_table
    from s2s_cli.networks.layers import Precision
    from s2s_cli.picture.gallery import place
    from s2s_cli.picture.provenance import read_provenance
    from s2s_cli.studio import Heard, Look, Studio, sheet

    made = read_provenance(picture)
    settings = dict(made.options)
    sheet_of = settings.pop("sheet_of", None)  # pictures of each sound on one page
    try:
        look = from_table(Look, settings)
        starts = 0 <= look.start_s <= options.LATEST_START_S
        if made.command != "generate" or not made.sources or not starts:
            raise ValueError(f"s2s {made.command}")
    except ValueError as fault:
        raise PictureError(
            f"'{picture}' was made in a way that this version of s2s cannot repeat ({fault}): "
            f"install version {made.version}."
        ) from fault
    precision: Precision = "bfloat16" if made.precision == "bfloat16" else "float32"
    studio = Studio.open(model or made.model, device.value if device else made.device, precision)
    if studio.model.sha256 != made.model_sha256:
        raise ModelError(
            f"The model '{studio.model.name}' is another than the one that made '{picture}': "
            f"name the one whose SHA-256 begins with {made.model_sha256[:12]} with --model."
        )
    sounds: list[Heard] = []
    for number, source in enumerate(made.sources):
        path = sound[number] if sound and number < len(sound) else recorded(source.name, picture)
        if path == STDIN and not sound:
            raise SoundError(
                f"'{picture}' was painted from standard input: say with --sound where it is now."
            )
        heard = studio.hear(path, look.start_s)
        if heard.sound.sha256 != source.sha256:
            raise SoundError(
                f"'{path}' is another sound than the one that made '{picture}': "
                "say with --sound where that one is now."
            )
        sounds.append(replace(heard, name=source.name))  # a sheet is labelled as it was
    paint = (
        partial(sheet, sounds, made.seed, sheet_of, look)
        if isinstance(sheet_of, int)
        else partial(sounds[0].paint, made.seed, look)
    )
    again = picture.with_stem(f"{picture.stem}-redo")
    if out:
        wall = place(out)
        again = wall.file or wall.folder / picture.name
    Delivery(json=json, show=show, force=force).picture(again, made, paint)
    if again.suffix == picture.suffix and again.read_bytes() != picture.read_bytes():
        console.note(
            f"The new picture differs from '{picture}' in some bytes: other versions of s2s, torch "
            "or Pillow, or another device, round differently."
        )


def recorded(name: str, picture: Path) -> Path:
    """Where a sound was when its picture was made, or else beside the picture."""
    path, beside = Path(name), picture.parent / Path(name).name
    return beside if not path.exists() and beside.exists() else path
