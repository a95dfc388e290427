"""``s2s volume-sweep``: one sound, quieter and louder."""

from pathlib import PurePath
from typing import Annotated

import typer

from s2s_cli import console, options
from s2s_cli.choices import Grid, Through

Sound = Annotated[str, typer.Argument(metavar="SOUND", help="A sound.", show_default=False)]
From = Annotated[float, options.gain_db("--from", "The first gain.")]
To = Annotated[float, options.gain_db("--to", "The last gain.")]
With = Annotated[
    str | None,
    typer.Option(
        "--with",
        metavar="OTHER",
        help="Mix in a second sound, whose volume runs the other way.",
        show_default=False,
    ),
]
GridOption = Annotated[
    Grid | None,
    typer.Option(
        "--grid",
        help="With --with: a table of every gain by every gain, or by every ratio, of the other.",
        show_default=False,
    ),
]
ThroughOption = Annotated[
    Through,
    typer.Option(
        help="How the volume reaches the model. wave: as it is. floor: around the level where half "
        "of the sound is hidden. clip: from full scale upwards. feature: along loud - quiet."
    ),
]
MOST_TOLD = 12  # volumes in the note about what is heard
LONGEST_GRID = 16  # rows: a larger page is more than viewers open


def volume_sweep(
    sound: Sound,
    from_db: From = -24.0,
    to_db: To = 12.0,
    steps: options.Steps = 9,
    other: With = None,
    grid: GridOption = None,
    through: ThroughOption = Through.WAVE,
    out: options.Moving = None,
    fps: options.Fps = 6.0,
    bounce: options.Bounce = False,
    once: options.Once = False,
    sheet: options.Strip = False,
    seed: options.Seed = 0,
    model: options.Model = options.DEFAULT_MODEL,
    device: options.DeviceOption = options.Device.AUTO,
    start: options.Start = 0.0,
    truncation: options.Truncation = 1.0,
    size: options.Size = None,
    show: options.Show = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    force: options.Force = False,
    dry_run: options.DryRun = False,
) -> None:
    """Paint a sound at several volumes, all with the same noise.

    Says how far the model hears each volume from the first: the angle between their features;
    sounds of different scenes lie about 90 degrees apart. A model whose front end makes every clip
    equally loud hears little of it: there --through gives the volume other ways to act.
    """
    console.be_quiet(quiet)
    if grid and other is None:
        raise typer.BadParameter(
            "A table needs a second sound: name it --with.", param_hint="--grid"
        )
    if grid and steps > LONGEST_GRID:
        raise typer.BadParameter(
            f"A table has at most {LONGEST_GRID} rows, not {steps}.", param_hint="--steps"
        )
    if other is not None and through is not Through.WAVE:
        raise typer.BadParameter(
            "Two sounds are mixed as waves: leave out --through or --with.", param_hint="--through"
        )
    if from_db == to_db:
        raise typer.BadParameter("--from and --to are the same volume.", param_hint="--to")
    if grid:
        options.require_still(bounce, once, sheet)
    options.require_one_stdin(sound, other)
    from s2s_cli.delivery import Delivery, Exhibition, perceived
    from s2s_cli.picture.gallery import place
    from s2s_cli.studio import Look, Studio
    from s2s_cli.walks import (
        Motion,
        Volume,
        Walk,
        decibels,
        evenly,
        require_heard,
        short_name,
    )

    plan = Volume(from_db=from_db, to_db=to_db, through=through, grid=grid)
    delivery = Delivery(json=json, show=show, force=force, dry_run=dry_run)
    sounds = [sound] if other is None else [sound, other]
    name = "+".join(short_name(each) for each in sounds) + "-volume"
    motion = Motion(fps=fps, bounce=bounce, loop=not once)
    wall = place(out) if grid else None
    exhibition = None if grid else Exhibition(delivery, out, name, motion, sheet)
    studio = Studio.open(model, device)
    ends = perceived(studio, sounds, start)
    walk = Walk(plan, ends, seed, Look(start_s=start, truncation=truncation, size_px=size))
    gains_db = evenly(from_db, to_db, steps)
    heard_degrees = plan.heard_degrees(ends, gains_db)
    if through is Through.WAVE:
        require_heard(studio, heard_degrees)
    told = [
        f"{decibels(gain)} {degrees:.0f}°"
        for gain, degrees in zip(gains_db, heard_degrees, strict=True)
    ]
    console.note(
        f"Heard, in degrees from {decibels(from_db)}: {', '.join(told[:: -(-steps // MOST_TOLD)])}."
    )
    with console.progress("painting", steps**2 if grid else steps, "pictures") as bar:
        if wall:
            columns = evenly(0, 1, steps) if grid is Grid.RATIO else gains_db
            delivery.picture(
                wall.named(PurePath(name)),
                walk.provenance(rows=gains_db, columns=columns),
                lambda: walk.table(gains_db, columns, bar.advance),
                heard_degrees=heard_degrees,
            )
        if exhibition:
            exhibition.walk(walk, gains_db, bar.advance, heard_degrees=heard_degrees)
    delivery.close()
