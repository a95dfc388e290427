"""``s2s redo``: make a picture again from what it knows of itself."""

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


def redo(
    picture: Made,
    out: options.Out = None,
    sound: SoundAt = None,
    model: ModelAt = None,
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
    from s2s_cli.errors import ModelError, SoundError
    from s2s_cli.networks.config import from_table
    from s2s_cli.networks.layers import Precision
    from s2s_cli.picture.gallery import place
    from s2s_cli.picture.provenance import read_provenance
    from s2s_cli.studio import Heard, Look, Studio, sheet

    made = read_provenance(picture)
    settings = dict(made.options)
    sheet_of = settings.pop("sheet_of", None)  # pictures of each sound on one page
    look = from_table(Look, settings)
    precision: Precision = "bfloat16" if made.precision == "bfloat16" else "float32"
    studio = Studio.open(model or made.model, made.device, precision)
    if studio.model.sha256 != made.model_sha256:
        raise ModelError(
            f"The model '{made.model}' is another than the one that made '{picture}': "
            f"get the one whose SHA-256 is {made.model_sha256[:12]}…"
        )
    sounds: list[Heard] = []
    for number, source in enumerate(made.sources):
        path = sound[number] if sound and number < len(sound) else Path(source.name)
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
        sounds.append(heard)
    paint = (
        partial(sounds[0].paint, made.seed, look)
        if not isinstance(sheet_of, int)
        else partial(sheet, sounds, made.seed, sheet_of, look)
    )
    wall = place(out or str(picture.with_stem(f"{picture.stem}-redo")))
    delivery = Delivery(json=json, show=show, force=force)
    delivery.picture(wall.named(picture.with_suffix("")), made, paint)
