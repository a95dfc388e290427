"""``s2s pairs``: videos become training pairs."""

import os
from pathlib import Path
from typing import Annotated

import typer

from s2s_cli import console, options
from s2s_cli.choices import Layout, Select

Videos = Annotated[
    Path,
    typer.Argument(
        metavar="VIDEOS",
        help="The folder that the videos lie in, at any depth.",
        readable=False,
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help="Folder for what is written: a new one, or one that this command began.",
        readable=False,
    ),
]
LayoutOption = Annotated[
    Layout,
    typer.Option(
        "--layout",
        help="How the data set lies on disk: as any folder of videos, as a published one, or as "
        "pairs of images/NAME.jpg and audios/NAME.wav.",
    ),
]
SelectOption = Annotated[
    Select | None,
    typer.Option(
        "--select",
        help="Which frames are taken: those that go best with the sound, as a localiser tells; the "
        "middle one; evenly spread ones; or those annotated. Default: as the layout's paper does.",
        show_default=False,
    ),
]
Top = Annotated[
    int | None,
    typer.Option(
        "--top",
        min=1,
        max=100,
        metavar="K",
        help="Frames of each stretch; of middle it is always one. Default: the paper's, 1 or 8.",
        show_default=False,
    ),
]
Rate = Annotated[
    float,
    typer.Option(
        "--rate",
        min=0.1,
        max=30,
        callback=options.not_nan,
        metavar="FPS",
        help="Frames a second among which a localiser chooses.",
    ),
]
Stretch = Annotated[
    float | None,
    typer.Option(
        "--stretch",
        min=0.5,
        max=600,
        callback=options.not_nan,
        metavar="SECONDS",
        help="What counts as one video: longer ones are cut into such stretches. Default: the "
        "paper's, 10 or 3.",
        show_default=False,
    ),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        "--seconds",
        min=0.5,
        max=600,
        callback=options.not_nan,
        metavar="SECONDS",
        help="Of sound around each frame. Default: the paper's, 10 or 3.",
        show_default=False,
    ),
]
FrameSize = Annotated[
    int,
    typer.Option(
        "--size",
        min=16,
        max=4096,
        metavar="PX",
        help="A frame's shorter side; those of smaller videos stay as they are.",
    ),
]
Localiser = Annotated[
    str,
    typer.Option(
        "--localiser",
        metavar="NAME",
        help="The model that chooses frames: one trained as a localiser, or any that paints.",
    ),
]
Annotations = Annotated[
    Path | None,
    typer.Option(
        "--annotations",
        metavar="FILE",
        help="With --layout vggsound: the file top1_boxes_top10_moments.json of Sound2Scene's "
        "authors, whose moments are taken.",
        show_default=False,
        readable=False,
    ),
]
Table = Annotated[
    Path | None,
    typer.Option(
        "--table",
        metavar="FILE",
        help="vggsound.csv or metadata.xlsx. Default: the one in VIDEOS or beside it.",
        show_default=False,
        readable=False,
    ),
]
Classes = Annotated[
    Path | None,
    typer.Option(
        "--classes",
        metavar="FILE",
        help="A text file of the classes to take, one a line, or 'all'. Default: the paper's.",
        show_default=False,
        readable=False,
    ),
]
ValShare = Annotated[
    float,
    typer.Option(
        "--val-share",
        min=0,
        max=0.9,
        callback=options.not_nan,
        metavar="SHARE",
        help="Of the videos for training, how many are kept for validation.",
    ),
]
SplitSeed = Annotated[int, options.seed_of("Of the draw for validation.")]
ShardClips = Annotated[
    int,
    typer.Option(
        "--shard-clips", min=1, metavar="N", help="Videos, or clips of them, in each shard."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        metavar="N",
        help="Processes that share the work. Default: as many as cores.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="The report as one JSON object.")]


def cores() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pairs(
    videos: Videos,
    out: Out = Path("pairs"),
    layout: LayoutOption = Layout.FOLDER,
    select: SelectOption = None,
    top: Top = None,
    rate: Rate = 2.0,
    stretch: Stretch = None,
    seconds: Seconds = None,
    size: FrameSize = 256,
    localiser: Localiser = options.DEFAULT_MODEL,
    annotations: Annotations = None,
    table: Table = None,
    classes: Classes = None,
    val_share: ValShare = 0.1,
    seed: SplitSeed = 0,
    shard_clips: ShardClips = 256,
    workers: Workers = None,
    json: Json = False,
    quiet: options.Quiet = False,
    dry_run: options.DryRun = False,
) -> None:
    """Turn a folder of videos into training pairs: frames, and the sounds that go with them.

    Writes tar files (shards), for s2s train --data DIR; index.tsv, what is in them; skipped.tsv,
    what was left out and why; and report.json. A video that cannot be read stops nothing. After a
    stop or a kill the same command goes on. Prints DIR.
    """
    console.be_quiet(quiet)
    if annotations is not None and select not in (None, Select.ANNOTATED):
        raise typer.BadParameter(f"--annotations tell the moments, and so does --select {select}.")
    from s2s_cli.data.excerpts import Choice
    from s2s_cli.data.layouts import USUAL, list_clips, read_classes
    from s2s_cli.errors import DataError
    from s2s_cli.pairing import Pairing, found_told, report_told

    usual = USUAL[layout]
    if annotations is not None:
        select = Select.ANNOTATED
    choice = Choice(
        select=select or Select(usual.select),
        top=top or usual.frames,
        rate=rate,
        stretch_s=stretch or usual.seconds,
        seconds=seconds or usual.seconds,
        size_px=size,
    )
    chosen = None
    if classes is not None:
        chosen = frozenset[str]() if str(classes) == "all" else read_classes(classes)
    listing = list_clips(
        layout,
        videos,
        seed=seed,
        val_share=val_share,
        seconds=choice.stretch_s,
        classes=chosen,
        table=table,
        annotations=annotations,
    )
    if choice.select is Select.ANNOTATED and not any(clip.moments_s for clip in listing.clips):
        raise typer.BadParameter("No clip has an annotated moment: name a file by --annotations.")
    pairing = Pairing(listing, videos, out, choice, localiser=localiser, shard_clips=shard_clips)
    pairing.check()
    for line in (*listing.remarks, *found_told(pairing.found)):
        console.note(line)
    clips, done = len(listing.clips), pairing.done
    if done:
        console.note(f"{done:,} of {clips:,} clips were read before.")
    report = pairing.found
    if not dry_run:
        try:
            with console.progress("pairing", clips, "clips", done) as bar:
                report = pairing.make(workers or cores(), bar.advance)
        except KeyboardInterrupt:
            console.note("Stopped: the same command goes on from here.")
            raise
        for line in report_told(report):
            console.note(line)
    if json:
        status = "planned" if dry_run else "written"
        console.answer_json({"path": str(out), "status": status, **report})
    else:
        console.answer(out)
    if not dry_run and not report["samples"]:
        raise DataError(f"Nothing was found to train on: '{out / 'skipped.tsv'}' says why.")
