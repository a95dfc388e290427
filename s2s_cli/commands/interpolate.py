"""``s2s interpolate``: from one sound or picture to another."""

from enum import StrEnum
from typing import Annotated

import typer

from s2s_cli import console, options


class CurveName(StrEnum):
    """How a walk runs from stop to stop."""

    LINEAR = "linear"
    SPHERICAL = "spherical"


Stops = Annotated[
    list[str],
    typer.Argument(
        metavar="FROM TO [...]",
        help="Two or more stops, each a sound or a picture.",
        show_default=False,
    ),
]
Curve = Annotated[
    CurveName,
    typer.Option(help="Straight from feature to feature, or along the sphere at an even pace."),
]


def interpolate(
    stops: Stops,
    steps: options.Steps = 9,
    curve: Curve = CurveName.LINEAR,
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
    """Walk from one sound or picture to another, all with the same noise.

    --steps counts the pictures from each stop to the next, both included. A picture is not shown
    itself: it is painted anew, from what the model sees in it.
    """
    console.be_quiet(quiet)
    if len(stops) < 2:
        raise typer.BadParameter("Name at least two stops.", param_hint="FROM TO")
    longest = 1 + (options.LONGEST_WALK - 1) // (len(stops) - 1)
    if steps > longest:
        raise typer.BadParameter(
            f"Between {len(stops)} stops there is room for at most {longest} pictures each.",
            param_hint="--steps",
        )
    from s2s_cli.delivery import Delivery, Exhibition
    from s2s_cli.studio import Heard, Look, Studio
    from s2s_cli.walks import Motion, Passage, Walk, evenly, short_name

    delivery = Delivery(json=json, show=show, force=force, dry_run=dry_run)
    name = "-to-".join(short_name(stop) for stop in (stops[0], stops[-1]))
    motion = Motion(fps=fps, bounce=bounce, loop=not once)
    exhibition = Exhibition(delivery, out, name, motion, sheet)
    studio = Studio.open(model, device)
    ends = tuple(studio.perceive(stop, start) for stop in stops)
    for end in ends:
        for remark in end.sound.remarks if isinstance(end, Heard) else ():
            console.note(remark)
    plan = Passage(curve="spherical" if curve is CurveName.SPHERICAL else "linear")
    walk = Walk(plan, ends, seed, Look(start_s=start, truncation=truncation, size_px=size))
    places = [0.0, *(leg + at for leg in range(len(stops) - 1) for at in evenly(0, 1, steps)[1:])]
    with console.progress("painting", len(places), "pictures") as bar:
        exhibition.walk(walk, places, bar.advance)
    delivery.close()
