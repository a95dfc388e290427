"""``s2s mix``: several sounds become one picture."""

import math
from pathlib import PurePath
from typing import Annotated

import typer

from s2s_cli import console, options
from s2s_cli.choices import Space

MixedSounds = Annotated[
    list[str],
    typer.Argument(metavar="A B [C...]", help="Two or more sounds.", show_default=False),
]
Ratio = Annotated[
    float | None,
    typer.Option(
        "--ratio",
        min=0,
        max=1,
        callback=options.not_nan,
        help="Share of B: 0 is all A, 1 all B. Default: 0.5.",
        show_default=False,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="1,2,1",
        help="One weight a sound, instead of a ratio; only proportions count.",
        show_default=False,
    ),
]
Sweep = Annotated[
    int | None,
    options.pictures_of_sweep(
        "--sweep",
        "Paint N ratios from all A to all B, as --out asks: a GIF, a film, frames, a strip.",
    ),
]
GainA = Annotated[float, options.gain_db("--gain-a", "Makes A louder or quieter first.")]
GainB = Annotated[float, options.gain_db("--gain-b", "Makes B louder or quieter first.")]
In = Annotated[
    Space,
    typer.Option("--in", help="Mix the waves, or the features that the model makes of them."),
]
Level = Annotated[
    bool,
    typer.Option("--level", help="First bring every sound to the level of A, so that none drowns."),
]
Pad = Annotated[
    bool, typer.Option("--pad", help="Shorter sounds end in silence; else they are repeated.")
]
KeepSound = Annotated[
    bool, typer.Option("--keep-sound", help="Also write each mixture, as a .wav file.")
]


def mix(
    sounds: MixedSounds,
    ratio: Ratio = None,
    weights: Weights = None,
    sweep: Sweep = None,
    gain_a: GainA = 0.0,
    gain_b: GainB = 0.0,
    level: Level = False,
    space: In = Space.WAVE,
    pad: Pad = False,
    keep_sound: KeepSound = False,
    out: options.OneOrSweep = None,
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
    """Mix sounds, and paint the mixture.

    With --ratio 0 this is the picture of A alone, with --ratio 1 that of B. A mixture that would
    be louder than full scale is turned down, and that is said.
    """
    console.be_quiet(quiet)
    if len(sounds) < 2:
        raise typer.BadParameter("Name at least two sounds.", param_hint="A B")
    if len(sounds) > 2 and weights is None:
        raise typer.BadParameter(
            f"A ratio is of two sounds, and here are {len(sounds)}: give --weights.",
            param_hint="--ratio",
        )
    if sum(how is not None for how in (ratio, weights, sweep)) > 1:
        raise typer.BadParameter("Give one of --ratio, --weights and --sweep.")
    if keep_sound and space is Space.LATENT:
        raise typer.BadParameter(
            "Features cannot be heard: leave out --in latent.", param_hint="--keep-sound"
        )
    if not sweep:
        options.require_still(bounce, once, sheet)
    options.require_one_stdin(*sounds)
    proportions = numbers_of(weights, len(sounds))
    from s2s_cli.delivery import Delivery, Exhibition, perceived
    from s2s_cli.picture.gallery import place
    from s2s_cli.studio import Look, Studio
    from s2s_cli.walks import Mixture, Motion, Walk, evenly, short_name

    plan = Mixture(
        weights=proportions,
        gains_db=(gain_a, gain_b, *[0.0] * (len(sounds) - 2)),
        level=level,
        pad=pad,
        space=space,
    )
    delivery = Delivery(json=json, show=show, force=force, dry_run=dry_run)
    motion = Motion(fps=fps, bounce=bounce, loop=not once)
    name = "+".join(short_name(sound) for sound in sounds)
    exhibition = Exhibition(delivery, out, name, motion, sheet) if sweep else None
    wall = exhibition.wall if exhibition else place(out)
    studio = Studio.open(model, device)
    ends = perceived(studio, sounds, start)
    walk = Walk(plan, ends, seed, Look(start_s=start, truncation=truncation, size_px=size))
    one = 0.0 if proportions else 0.5 if ratio is None else ratio
    places = evenly(0, 1, sweep) if sweep else [one]
    if space is Space.WAVE:
        turned_db = min(plan.wave(ends, at)[1] for at in places)
        if turned_db < 0:
            console.note(f"The mixture was turned down by {-turned_db:.1f} dB, to full scale.")
    if exhibition:
        with console.progress("painting", len(places), "pictures") as bar:
            exhibition.walk(walk, places, bar.advance)
    else:
        path = wall.named(PurePath(name))
        delivery.picture(path, walk.provenance(at=one), lambda: walk.paint(one))
    if keep_sound:
        sources = [end.source for end in ends]
        rate = studio.model.audio_encoder.config.sample_rate
        for number, at in enumerate(places):
            path = wall.named(PurePath(name), f"-{number:03}" if sweep else "")
            with delivery.attempt():
                delivery.sound(path.with_suffix(".wav"), plan.wave(ends, at)[0], rate, sources)
    delivery.close()


def numbers_of(text: str | None, count: int) -> tuple[float, ...]:
    """The weights of a text such as 1,2,1, brought to a sum of 1; none for none."""
    if text is None:
        return ()
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        weights = []
    if len(weights) != count or not all(0 <= weight < float("inf") for weight in weights):
        raise typer.BadParameter(
            f"'{text}' is not {count} weights, one for each sound: write 1,2,1.",
            param_hint="--weights",
        )
    largest = max(weights)
    if not largest:
        raise typer.BadParameter("At least one weight must be above 0.", param_hint="--weights")
    total = math.fsum(weight / largest for weight in weights)
    return tuple(round(weight / largest / total, 9) for weight in weights)
