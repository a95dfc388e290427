"""``s2s interpolate``: from one sound or picture to another."""

from typing import Annotated

import typer

from s2s_cli import console, options
from s2s_cli.choices import Curve

Stops = Annotated[
    list[str],
    typer.Argument(
        metavar="FROM TO [...]",
        help="Two or more stops, each a sound or a picture.",
        show_default=False,
    ),
]
LegSteps = Annotated[
    int,
    typer.Option(
        "--steps",
        min=2,
        max=options.LONGEST_WALK,
        metavar="N",
        help="How many pictures from each stop to the next.",
    ),
]
CurveOption = Annotated[
    Curve,
    typer.Option(help="Straight from feature to feature, or along the sphere at an even pace."),
]


def interpolate(
    stops: Stops,
    steps: LegSteps = 9,
    curve: CurveOption = Curve.LINEAR,
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
    """Walk from sounds and pictures to others.

    All pictures have the same noise. --steps counts them from each stop to the next, both included.
    A picture is not shown itself: it is painted anew, from what the model sees in it.
    """
    console.be_quiet(quiet)
    if len(stops) < 2:
        raise typer.BadParameter("Name at least two stops.", param_hint="FROM TO")
    options.require_one_stdin(*stops)
    longest = 1 + (options.LONGEST_WALK - 1) // (len(stops) - 1)
    if steps > longest:
        raise typer.BadParameter(
            f"Between {len(stops)} stops there is room for at most {longest} pictures each.",
            param_hint="--steps",
        )
    from s2s_cli.delivery import Delivery, Exhibition, perceived
    from s2s_cli.studio import Look, Studio
    from s2s_cli.walks import Motion, Passage, Walk, evenly, short_name

    delivery = Delivery(json=json, show=show, force=force, dry_run=dry_run)
    name = "-to-".join(short_name(stop) for stop in (stops[0], stops[-1]))
    motion = Motion(fps=fps, bounce=bounce, loop=not once)
    exhibition = Exhibition(delivery, out, name, motion, sheet)
    studio = Studio.open(model, device)
    ends = perceived(studio, stops, start, see=True)
    walk = Walk(
        Passage(curve), ends, seed, Look(start_s=start, truncation=truncation, size_px=size)
    )
    places = [0.0, *(leg + at for leg in range(len(stops) - 1) for at in evenly(0, 1, steps)[1:])]
    with console.progress("painting", len(places), "pictures") as bar:
        exhibition.walk(walk, places, bar.advance)
    delivery.close()
