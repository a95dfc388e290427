"""``s2s edit``: a picture of one's own, changed by a sound."""

from enum import StrEnum
from pathlib import Path, PurePath
from typing import Annotated

import typer

from s2s_cli import console, options

FAITHFUL_DB = 15.0  # below this a reconstruction is another picture
FAITHFUL_DEGREES = 60.0  # beyond this it shows something else to the model


class Way(StrEnum):
    """How an edit returns into the photo; as ``walks.Blend``, which would load torch."""

    NONE = "none"
    LOW = "low"
    MASK = "mask"


PictureFile = Annotated[
    Path,
    typer.Argument(metavar="PICTURE", help="A photo or picture.", readable=False),
]
Sound = Annotated[
    str, typer.Argument(metavar="SOUND", help="The sound that changes it.", show_default=False)
]
Strength = Annotated[
    float,
    typer.Option(
        "--strength",
        min=-10,
        max=10,
        callback=options.not_nan,
        help="How far to go, in lengths of a feature: 0 is the reconstruction, 0.4 gentle, 1.6 "
        "wild, below 0 the other way.",
    ),
]
Sweep = Annotated[
    int | None,
    typer.Option(
        "--sweep",
        min=2,
        max=options.LONGEST_WALK,
        metavar="N",
        help="Paint N strengths from 0 to --strength, as --out asks.",
        show_default=False,
    ),
]
From = Annotated[float, options.gain_db("--from", "The way leads from the sound at this gain ...")]
To = Annotated[float, options.gain_db("--to", "... to the sound at this gain.")]
Against = Annotated[
    str | None,
    typer.Option(
        "--against",
        metavar="OTHER",
        help="The way leads from this other sound to SOUND, instead of from quiet to loud.",
        show_default=False,
    ),
]
BlendOption = Annotated[
    Way,
    typer.Option(
        "--blend",
        help="Put the change back into the photo, at its own size. low: all of it, without the "
        "finest detail. mask: the painting where most changes, and the photo elsewhere.",
    ),
]
SearchSteps = Annotated[
    int,
    typer.Option(
        "--steps",
        min=1,
        max=100_000,
        help="Of the search for noise and feature; only for the paper's generator.",
    ),
]


def edit(
    picture: PictureFile,
    sound: Sound,
    strength: Strength = 0.8,
    sweep: Sweep = None,
    from_db: From = -24.0,
    to_db: To = 12.0,
    against: Against = None,
    blend: BlendOption = Way.NONE,
    search_steps: SearchSteps = 300,
    out: options.Mixed = None,
    fps: options.Fps = 6.0,
    bounce: options.Bounce = False,
    once: options.Once = False,
    sheet: options.Strip = False,
    model: options.Model = options.DEFAULT_MODEL,
    device: options.DeviceOption = options.Device.AUTO,
    start: options.Start = 0.0,
    size: options.Size = None,
    show: options.Show = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    force: options.Force = False,
    dry_run: options.DryRun = False,
) -> None:
    """Change a picture along the way from a quiet sound to the same sound loud.

    First the model paints the picture again from what it finds in it: how much of it that is,
    --strength 0 shows, and the error is said. Then it paints with that same noise and a feature
    that has moved.
    """
    console.be_quiet(quiet)
    if from_db == to_db and not against:
        raise typer.BadParameter("--from and --to are the same volume.", param_hint="--to")
    if size and blend is not Way.NONE:
        raise typer.BadParameter(
            "What is blended keeps the photo's own size: leave out --size.", param_hint="--size"
        )
    from s2s_cli.delivery import Delivery, Exhibition
    from s2s_cli.latents import angle_degrees
    from s2s_cli.picture.gallery import place
    from s2s_cli.studio import Look, Studio
    from s2s_cli.walks import Blend, Edit, Motion, Walk, evenly, short_name

    plan = Edit(from_db=from_db, to_db=to_db, search_steps=search_steps, blend=Blend(blend))
    delivery = Delivery(json=json, show=show, force=force, dry_run=dry_run)
    name = f"{short_name(str(picture))}-{short_name(sound)}"
    motion = Motion(fps=fps, bounce=bounce, loop=not once)
    exhibition = Exhibition(delivery, out, name, motion, sheet) if sweep else None
    wall = exhibition.wall if exhibition else place(out)
    if exhibition and blend is not Way.NONE and (sheet or not exhibition.of_frames):
        raise typer.BadParameter(
            "Blended photos are too large to move or to stand in a strip: name a folder.",
            param_hint="--blend",
        )
    studio = Studio.open(model, device)
    seen = studio.see(picture)
    heard = [studio.hear(each, start) for each in ([sound, against] if against else [sound])]
    for one in heard:
        for remark in one.sound.remarks:
            console.note(remark)
    walk = Walk(plan, (seen, *heard), seed=0, look=Look(start_s=start, size_px=size))
    places = evenly(0, strength, sweep) if sweep else [strength]
    facts = {}
    if not dry_run:
        searched = studio.searches
        with console.progress("finding the picture", search_steps if searched else None) as bar:
            found = seen.inversion(search_steps, lambda loss: bar.advance(1, loss=loss))
        facts = {"psnr_db": found.psnr_db, "feature_degrees": found.feature_degrees}
        told = (
            f"'{picture}' is found again with {found.psnr_db:.1f} dB, {found.feature_degrees:.0f} "
            "degrees from what the model sees in it."
        )
        if found.psnr_db < FAITHFUL_DB or found.feature_degrees > FAITHFUL_DEGREES:
            console.warn(f"{told} That is hardly the same picture: look at --strength 0.")
        else:
            console.note(told)
        apart = angle_degrees(*plan.poles(walk.ends))
        facts["heard_degrees"] = apart
        console.note(f"The model hears {apart:.0f} degrees between the two ends of the way.")
    if exhibition:
        of_each = {fact: [value] * len(places) for fact, value in facts.items()}
        with console.progress("painting", len(places), "pictures") as bar:
            exhibition.walk(walk, places, bar.advance, **of_each)
    else:
        delivery.picture(
            wall.named(
                PurePath(name), suffix=kind_of(picture) if blend is not Way.NONE else ".png"
            ),
            walk.provenance(at=strength),
            lambda: walk.paint(strength),
            walk.photo,
            **facts,
        )
    delivery.close()


def kind_of(picture: Path) -> str:
    """The ending of a blended photo: its own, where that can be written."""
    own = picture.suffix.lower()
    return own if own in (".jpg", ".jpeg", ".webp") else ".png"
