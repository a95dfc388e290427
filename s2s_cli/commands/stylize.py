"""``s2s stylize``: a photo, or a video, takes on the look of a sound."""

from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli import console, options
from s2s_cli.choices import Along
from s2s_cli.commands.edit import kind_of
from s2s_cli.commands.footage import chosen_gain, is_video, restyle_video, tell_of_peak

if TYPE_CHECKING:
    from s2s_cli.delivery import Delivery
    from s2s_cli.restyling import Restyler
    from s2s_cli.studio import Heard, Seen

LARGEST_GRID = 200  # pictures on one page

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="PICTURE... SOUND... | VIDEO [SOUND]",
        help="Photos, then sounds or folders of them: every photo is restyled by every sound. "
        "Or one video, and perhaps a sound instead of its own.",
        show_default=False,
    ),
]
Strength = Annotated[
    float,
    typer.Option(
        "--strength",
        min=0,
        max=1,
        callback=options.not_nan,
        metavar="SHARE",
        help="0 is the photo or video itself, 1 all of the new look.",
    ),
]
Gain = Annotated[
    float,
    options.gain_db(
        "--gain",
        "Makes the sound louder or quieter; for a model that brings every sound to one peak, "
        "after that.",
    ),
]
Mix = Annotated[
    str | None,
    typer.Option("--mix", metavar="OTHER", help="Mix another sound into each.", show_default=False),
]
Ratio = Annotated[
    float,
    typer.Option(
        "--ratio",
        min=0,
        max=1,
        callback=options.not_nan,
        metavar="SHARE",
        help="Of the sound named with --mix.",
    ),
]
VolumeSweep = Annotated[
    int | None,
    options.pictures_of_sweep(
        "--volume-sweep", "N volumes of one sound on one photo, --from to --to, as --out asks."
    ),
]
MixSweep = Annotated[
    int | None,
    options.pictures_of_sweep(
        "--mix-sweep", "N mixtures, from the sound alone to that of --mix alone, as --out asks."
    ),
]
From = Annotated[float, options.gain_db("--from", "The first gain of --volume-sweep.")]
To = Annotated[float, options.gain_db("--to", "The last gain of --volume-sweep.")]
Grid = Annotated[
    bool,
    typer.Option(
        "--sheet",
        help="Also write one labelled page of every photo by every sound; or of the sweep.",
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        "--size",
        min=16,
        max=8192,
        metavar="PX",
        help="Bring the longer side to this, by Lanczos, before. Default: its own size.",
        show_default=False,
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="PATH",
        help="Picture, of a video a film (.mp4, .webm), or a folder; of a sweep what moves (.gif, "
        ".webp, .mp4, .webm), a labelled strip (.png, .jpg) or a folder of frames. Default: here, "
        "called PICTURE-SOUND, or of a video with its own sound VIDEO-stylized.",
        show_default=False,
    ),
]
Start = Annotated[
    float,
    typer.Option(
        "--start",
        min=0,
        max=options.LATEST_START_S,
        callback=options.not_nan,
        metavar="SECONDS",
        help="Which part of a long sound: where to begin listening. Or where in a video to begin.",
    ),
]
GainCurve = Annotated[
    str | None,
    typer.Option(
        "--gain-curve",
        metavar="CURVE",
        help="A gain that changes over a video: decibels at seconds after its --start, as in "
        "'0:-24, 10:12', with straight lines between them.",
        show_default=False,
    ),
]
Steady = Annotated[
    float,
    typer.Option(
        "--steady",
        min=0,
        max=0.9,
        callback=options.not_nan,
        metavar="SHARE",
        help="Against flicker of a video: how much of what was changed in a frame is kept in the "
        "next. It stays where it is, so what moves fast leaves a trace; a new scene begins anew.",
    ),
]
OF_PHOTOS = (
    *("other", "ratio", "volume_sweep", "mix_sweep", "from_db", "to_db"),
    *("fps", "bounce", "once", "sheet", "show"),
)
OF_VIDEOS = ("gain_curve", "smooth", "steady", "length")


def stylize(
    context: typer.Context,
    sources: Sources,
    model: options.StyleModel = options.DEFAULT_STYLE_MODEL,
    strength: Strength = 1.0,
    gain: Gain = 0.0,
    gain_curve: GainCurve = None,
    smooth: options.Smooth = 1.0,
    steady: Steady = 0.0,
    other: Mix = None,
    ratio: Ratio = 0.5,
    volume_sweep: VolumeSweep = None,
    mix_sweep: MixSweep = None,
    from_db: From = -24.0,
    to_db: To = 12.0,
    out: Out = None,
    fps: options.Fps = 6.0,
    bounce: options.Bounce = False,
    once: options.Once = False,
    sheet: Grid = False,
    device: options.DeviceOption = options.Device.AUTO,
    start: Start = 0.0,
    length: options.Length = None,
    size: Size = None,
    show: options.Show = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    force: options.Force = False,
    dry_run: options.DryRun = False,
) -> None:
    """Restyle photos or a video, so that they look like what a sound sounds like.

    A photo keeps what it shows, its size, its colour profile and its transparency. Large ones are
    restyled in overlapping tiles. Published models bring every sound to the same peak, so how loud
    a file is does not matter to them; --gain acts after that.

    A video is restyled frame by frame by what is heard meanwhile: its own sound track, louder or
    quieter, or another sound, which is repeated or cut. It keeps its size, its pace and its length,
    and carries the sound that was heard. Ctrl-C leaves what is done; the same command goes on.
    """
    console.be_quiet(quiet)
    if is_video(sources[0]):
        require_unasked(context, OF_PHOTOS, "is for photos, not for a video")
        restyle_video(
            sources,
            model,
            gain=chosen_gain(gain, gain_curve),
            choice={
                "start_s": start,
                "length_s": length,
                "size_px": size,
                "strength": strength,
                "smooth_s": smooth,
                "steady": steady,
            },
            out=out,
            device=device,
            json=json,
            force=force,
            dry_run=dry_run,
        )
        return
    require_unasked(context, OF_VIDEOS, "is for a video, not for photos")
    if mix_sweep and other is None:
        raise typer.BadParameter("Name the second sound with --mix.", param_hint="--mix-sweep")
    if mix_sweep and volume_sweep:
        raise typer.BadParameter("Give one of --volume-sweep and --mix-sweep.")
    if volume_sweep and from_db == to_db:
        raise typer.BadParameter("--from and --to are the same volume.", param_hint="--to")
    sweep = volume_sweep or mix_sweep
    if not sweep:
        options.require_still(bounce, once, sheet=False)
    options.require_one_stdin(*sources, other)
    from s2s_cli.delivery import Delivery, Exhibition, named_sounds, perceived
    from s2s_cli.picture.gallery import distinct_names, place
    from s2s_cli.restyling import Restyler
    from s2s_cli.studio import Look, is_picture
    from s2s_cli.walks import Motion, Restyle, Walk, evenly

    delivery = Delivery(json=json, show=show, force=force, dry_run=dry_run)
    # What comes first is a picture, whatever it looks like, and is told if it is none.
    pictures = list(
        dict.fromkeys(s for number, s in enumerate(sources) if not number or is_picture(s))
    )
    sounds = named_sounds([s for s in sources if s not in pictures], delivery)
    if not sounds:
        delivery.close()
        raise typer.BadParameter("Name at least one sound after the pictures.")
    count = len(pictures) * len(sounds)
    if sweep and count > 1:
        raise typer.BadParameter(f"A sweep is of one picture and one sound, not of {count} pairs.")
    if sheet and count > LARGEST_GRID:
        raise typer.BadParameter(
            f"A sheet holds at most {LARGEST_GRID} pictures, not {count}.", param_hint="--sheet"
        )
    wall = None if sweep else place(out)
    if wall and wall.file is not None and count > 1:
        raise typer.BadParameter(
            f"'{out}' is one file, but {count} pictures are wanted: name a folder.",
            param_hint="--out",
        )
    first = PurePath(pictures[0]).stem + f"-{sounds[0][1].name}"
    if sweep:
        name = first + ("-mix" if mix_sweep else "-volume")
        motion = Motion(fps=fps, bounce=bounce, loop=not once)
        exhibition = Exhibition(delivery, out, name, motion, sheet)
    restyler = Restyler.open(model, device)
    tell_of_peak(restyler)
    mixed_in = perceived(restyler, [other] if other is not None else [], start)
    plan = Restyle(  # only what decides the picture
        along=Along.RATIO if mix_sweep else Along.GAIN,
        gain_db=gain if mix_sweep else 0.0,
        ratio=ratio if mixed_in and not mix_sweep else 0.0,
        strength=strength,
    )
    look = Look(start_s=start, size_px=size)
    if sweep:
        walk = Walk(
            plan,
            (
                restyler.see(pictures[0]),
                *perceived(restyler, [str(sounds[0][0])], start),
                *mixed_in,
            ),
            0,
            look,
        )
        places = evenly(0, 1, sweep) if mix_sweep else evenly(from_db, to_db, sweep)
        with console.progress("restyling", sweep, "pictures") as bar:
            exhibition.walk(walk, places, bar.advance)
        delivery.close()
        return
    assert wall
    heard = [
        (one, name) for path, name in sounds for one in heard_by(restyler, path, start, delivery)
    ]
    names = distinct_names([PurePath(PurePath(picture).name) for picture in pictures], ["sheet"])
    seen: list[Seen] = []
    with console.progress("restyling", count, "pictures") as bar:
        for picture, called in zip(pictures, names, strict=True):
            with delivery.attempt():
                photo = restyler.see(picture)
                if sheet:
                    seen.append(photo)
                for sound, sounding in heard:
                    with delivery.attempt():
                        walk = Walk(plan, (photo, sound, *mixed_in), 0, look)
                        hung = sounding.with_name(f"{called.name}-{sounding.name}")
                        delivery.picture(
                            wall.named(hung, suffix=kind_of(Path(picture))),
                            walk.provenance(at=gain),
                            partial(walk.paint, gain),
                            walk.photo,
                        )
                    bar.advance()
    if seen and heard:
        page = Walk(plan, (*seen, *(sound for sound, _ in heard), *mixed_in), 0, look)
        rows, columns = [gain] * len(seen), list(range(len(heard)))
        with delivery.attempt():
            delivery.picture(
                wall.named(PurePath("sheet"), "" if wall.file is None else "-sheet"),
                page.provenance(rows=rows, columns=columns),
                lambda: page.table(rows, columns),
            )
    delivery.close()


def require_unasked(context: typer.Context, names: tuple[str, ...], why: str) -> None:
    """What makes no sense here is not asked for.

    Raises:
        typer.BadParameter: one of these options stands on the command line.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"This {why}.", param_hint=parameter.opts[0])


def heard_by(
    restyler: "Restyler", path: Path, start_s: float, delivery: "Delivery"
) -> "list[Heard]":
    """A sound; nothing if it cannot be heard, which is told."""
    from s2s_cli.delivery import perceived
    from s2s_cli.studio import Heard

    with delivery.attempt():
        return [end for end in perceived(restyler, [str(path)], start_s) if isinstance(end, Heard)]
    return []
