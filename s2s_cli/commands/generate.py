"""``s2s generate``: sounds become pictures."""

from functools import partial
from pathlib import PurePath

import typer

from s2s_cli import console, options

LARGEST_SHEET = 500  # pictures; a larger page is more than viewers open


def generate(
    sounds: options.Sounds,
    out: options.Out = None,
    count: options.Count = 1,
    seed: options.Seed = 0,
    model: options.Model = options.DEFAULT_MODEL,
    device: options.DeviceOption = options.Device.AUTO,
    start: options.Start = 0.0,
    truncation: options.Truncation = 1.0,
    size: options.Size = None,
    sheet: options.Sheet = False,
    show: options.Show = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    force: options.Force = False,
    dry_run: options.DryRun = False,
) -> None:
    """Turn sounds into pictures.

    Prints the path of each picture. A picture that is there already, made in the same way, is
    kept, so that a batch goes on where it was stopped.
    """
    console.be_quiet(quiet)
    # torch loads here, so that --help stays instant.
    from s2s_cli.delivery import Delivery, named_sounds
    from s2s_cli.picture.gallery import place
    from s2s_cli.studio import Heard, Look, Studio
    from s2s_cli.studio import sheet as contact_sheet_of

    delivery = Delivery(json=json, show=show, force=force, dry_run=dry_run)
    jobs = named_sounds(sounds, delivery, reserved=["sheet"] if sheet else [])
    wall = place(out)
    if wall.file is not None and len(jobs) * count > 1:
        raise typer.BadParameter(
            f"'{out}' is one file, but {len(jobs) * count} pictures are wanted: name a folder.",
            param_hint="--out",
        )
    if sheet and len(jobs) * count > LARGEST_SHEET:
        raise typer.BadParameter(
            f"A sheet holds at most {LARGEST_SHEET} pictures, not {len(jobs) * count}.",
            param_hint="--sheet",
        )
    studio = Studio.open(model, device)
    look = Look(start_s=start, truncation=truncation, size_px=size)
    all_heard: list[Heard] = []  # only for the sheet, which needs them at once
    with console.progress("painting", len(jobs) * count, "pictures") as bar:
        for path, name in jobs:
            with delivery.attempt():
                heard = studio.hear(path, start)
                for remark in heard.sound.remarks:
                    console.note(remark)
                if sheet:
                    all_heard.append(heard)
                for number in range(seed, seed + count):
                    with delivery.attempt():
                        delivery.picture(
                            wall.named(name, f"-seed{number}" if count > 1 else ""),
                            studio.provenance("generate", (heard.source,), number, look),
                            partial(heard.paint, number, look),
                        )
                    bar.advance()
    if all_heard:
        with delivery.attempt():
            delivery.picture(
                wall.named(PurePath("sheet"), "" if wall.file is None else "-sheet"),
                studio.provenance(
                    "generate", tuple(one.source for one in all_heard), seed, look, sheet_of=count
                ),
                partial(contact_sheet_of, all_heard, seed, count, look),
            )
    delivery.close()
