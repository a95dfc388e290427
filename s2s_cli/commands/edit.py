"""``s2s edit``: a picture of one's own, changed by a sound."""

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli import console, options
from s2s_cli.choices import Blend

if TYPE_CHECKING:
    from s2s_cli.walks import Edit, Walk

FAITHFUL_DB = 15.0  # below this a reconstruction is another picture
FAITHFUL_DEGREES = 60.0  # beyond this it shows something else to the model


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
        metavar="LENGTH",
        help="How far to go, in lengths of a feature: 0 is the reconstruction, 0.4 gentle, 1.6 "
        "wild, below 0 the other way.",
    ),
]
Sweep = Annotated[
    int | None,
    options.pictures_of_sweep("--sweep", "Paint N strengths from 0 to --strength, as --out asks."),
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
    Blend,
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
        metavar="N",
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
    blend: BlendOption = Blend.NONE,
    search_steps: SearchSteps = 300,
    out: options.OneOrSweep = None,
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
    """Change a picture of your own by a sound.

    First the model paints the picture again from what it finds in it: how much of it that is,
    --strength 0 shows, and the error is said. Then it paints with the same noise and a feature that
    has moved: from the sound quiet towards the sound loud, or from another sound to this one.
    """
    console.be_quiet(quiet)
    if from_db == to_db and against is None:
        raise typer.BadParameter("--from and --to are the same volume.", param_hint="--to")
    if size and blend is not Blend.NONE:
        raise typer.BadParameter(
            "What is blended keeps the photo's own size: leave out --size.", param_hint="--size"
        )
    if not sweep:
        options.require_still(bounce, once, sheet)
    options.require_one_stdin(sound, against)
    from s2s_cli.delivery import Delivery, Exhibition, perceived
    from s2s_cli.picture.gallery import hangs_already, place
    from s2s_cli.studio import Look, Studio
    from s2s_cli.walks import Edit, Motion, Walk, evenly, short_name

    delivery = Delivery(json=json, show=show, force=force, dry_run=dry_run)
    name = f"{short_name(str(picture))}-{short_name(sound)}"
    motion = Motion(fps=fps, bounce=bounce, loop=not once)
    exhibition = Exhibition(delivery, out, name, motion, sheet) if sweep else None
    wall = exhibition.wall if exhibition else place(out)
    blended = blend is not Blend.NONE
    if exhibition and blended and (sheet or not exhibition.of_frames):
        raise typer.BadParameter(
            "Blended photos are too large to move or to stand in a strip: name a folder.",
            param_hint="--blend",
        )
    studio = Studio.open(model, device)
    seen = studio.see(picture)
    heard = perceived(studio, [sound] if against is None else [sound, against], start)
    plan = Edit(  # only what decides the picture
        from_db=from_db if against is None else 0.0,
        to_db=to_db if against is None else 0.0,
        search_steps=search_steps if studio.searches else 0,
        blend=blend,
    )
    walk = Walk(plan, (seen, *heard), seed=0, look=Look(start_s=start, size_px=size))
    path = wall.named(PurePath(name), suffix=kind_of(picture) if blended else ".png")
    known = not exhibition and hangs_already(path, walk.provenance(at=strength), force)
    facts = {} if known or dry_run else found_again(walk, plan)
    if exhibition:
        places = evenly(0, strength, sweep or 2)
        of_each = {fact: [value] * len(places) for fact, value in facts.items()}
        with console.progress("painting", len(places), "pictures") as bar:
            exhibition.walk(walk, places, bar.advance, **of_each)
    else:
        delivery.picture(
            path, walk.provenance(at=strength), lambda: walk.paint(strength), walk.photo, **facts
        )
    delivery.close()


def found_again(walk: "Walk", plan: "Edit") -> dict[str, float]:
    """Invert the picture, and tell how well that went and how far apart the ends of the way are."""
    from s2s_cli.latents import angle_degrees
    from s2s_cli.walks import picture_of

    apart = angle_degrees(*plan.poles(walk.ends))
    console.note(f"The model hears {apart:.0f} degrees between the two ends of the way.")
    seen = picture_of(walk.ends)
    with console.progress("finding the picture", plan.search_steps or None, "steps") as bar:
        found = seen.inversion(plan.search_steps, lambda loss: bar.advance(1, loss=loss))
    told = (
        f"'{seen.name}' is found again with {found.psnr_db:.1f} dB, {found.feature_degrees:.0f} "
        "degrees from what the model sees in it."
    )
    if found.psnr_db < FAITHFUL_DB or found.feature_degrees > FAITHFUL_DEGREES:
        console.warn(f"{told} That is hardly the same picture: look at --strength 0.")
    else:
        console.note(told)
    return {
        "psnr_db": found.psnr_db,
        "feature_degrees": found.feature_degrees,
        "heard_degrees": apart,
    }


def kind_of(picture: Path) -> str:
    """The ending of a blended photo: its own, where that can be written."""
    own = picture.suffix.lower()
    return own if own in (".jpg", ".jpeg", ".webp") else ".png"
