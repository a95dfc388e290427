"""``s2s film``: a long sound becomes a film."""

from typing import Annotated

import typer

from s2s_cli import console, options

Sound = Annotated[
    str,
    typer.Argument(
        metavar="SOUND",
        help="A sound or video file, or - for standard input.",
        show_default=False,
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="PATH",
        help="Film (.mp4, .webm), or a folder. Default: an MP4 here, named after the sound.",
        show_default=False,
    ),
]
Window = Annotated[
    float,
    typer.Option(
        "--window",
        min=0.1,
        max=3600,
        callback=options.not_nan,
        metavar="SECONDS",
        help="How much of the sound a picture hears, around its moment.",
    ),
]
Drift = Annotated[
    float,
    typer.Option(
        "--drift",
        min=0.1,
        max=options.LATEST_START_S,
        callback=options.not_nan,
        metavar="SECONDS",
        help="In which the noise wanders from one picture to the next.",
    ),
]
Still = Annotated[
    bool,
    typer.Option("--still", help="The noise does not wander: only the sound moves the pictures."),
]
Beat = Annotated[
    float,
    typer.Option(
        "--beat",
        min=0,
        max=1,
        callback=options.not_nan,
        metavar="STRENGTH",
        help="Of a pulse with each onset, 0 to 1.",
    ),
]


def film(
    sound: Sound,
    out: Out = None,
    seed: options.Seed = 0,
    fps: options.Fps = 12.0,
    window: Window = 4.0,
    smooth: options.Smooth = 1.0,
    drift: Drift = 12.0,
    still: Still = False,
    beat: Beat = 0.0,
    start: options.Start = 0.0,
    length: options.Length = None,
    truncation: options.Truncation = 1.0,
    size: options.Size = None,
    model: options.Model = options.DEFAULT_MODEL,
    device: options.DeviceOption = options.Device.AUTO,
    json: options.Json = False,
    quiet: options.Quiet = False,
    force: options.Force = False,
    dry_run: options.DryRun = False,
) -> None:
    """Turn a long sound into a film.

    A window moves along the sound, and the film carries the sound. Ctrl-C leaves a film of what is
    done; the same command goes on from there, after a crash too.
    """
    console.be_quiet(quiet)
    # torch loads here, so that --help stays instant.
    from s2s_cli.audio.stream import open_stream
    from s2s_cli.delivery import Delivery, named_sounds
    from s2s_cli.filming import Film, FilmPlan
    from s2s_cli.picture.gallery import place
    from s2s_cli.picture.motion import FILM_FORMATS
    from s2s_cli.studio import Studio

    delivery = Delivery(json=json, force=force, dry_run=dry_run)
    jobs = named_sounds([sound], delivery)
    if len(jobs) > 1:
        raise typer.BadParameter(
            f"'{sound}' holds {len(jobs)} sounds, but a film is of one: name it.",
            param_hint="SOUND",
        )
    delivery.close()  # where the argument stands for no sound
    ((path, name),) = jobs
    target = place(out, FILM_FORMATS).named(name, suffix=".mp4")
    plan = FilmPlan(
        start_s=start,
        length_s=length,
        fps=fps,
        window_s=window,
        smooth_s=smooth,
        drift_s=0.0 if still else drift,
        beat=beat,
        truncation=truncation,
        size_px=size,
    )
    studio = Studio.open(model, device)
    with delivery.attempt(), open_stream(path, start_s=start, seconds=length) as heard:
        for remark in heard.remarks:
            console.note(remark)
        delivery.film(target, Film(studio, heard, plan, seed), heard.seconds)
    delivery.close()
