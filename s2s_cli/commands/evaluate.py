"""``s2s eval``: what a model can do, in numbers."""

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli import console, options
from s2s_cli.commands import studies

if TYPE_CHECKING:
    from s2s_cli.evaluation.control import Measure
    from s2s_cli.evaluation.report import Measures
    from s2s_cli.evaluation.scene import Exam, Outcome

app = typer.Typer(help="Measure models.", no_args_is_help=True, rich_markup_mode=None)

Pairs = Annotated[int, typer.Option("--pairs", min=1, max=10_000, help="Mixtures to listen to.")]
PhotosPerScene = Annotated[
    int, typer.Option("--photos", min=1, max=10_000, help="Photos of each scene to find again.")
]
SearchSteps = Annotated[int, typer.Option("--steps", min=1, max=100_000, help="As of `s2s edit`.")]

Judge = Annotated[
    str, typer.Option("--judge", metavar="NAME", help="The model that says what pictures show.")
]
Clip = Annotated[
    Path | None,
    typer.Option(
        "--clip",
        metavar="DIR",
        help="CLIP ViT-B/32 as published. Default: where s2s models pull clip puts it.",
        show_default=False,
        readable=False,
    ),
]
Inception = Annotated[
    Path | None,
    typer.Option(
        "--inception",
        metavar="FILE",
        help="Inception-V3 of pytorch-fid. Default: where s2s models pull inception puts it.",
        show_default=False,
        readable=False,
    ),
]
OpenL3Folder = Annotated[
    Path | None,
    typer.Option(
        "--openl3",
        metavar="DIR",
        help="The two files of OpenL3 (env, linear, 512). Default: among the metrics' networks.",
        show_default=False,
        readable=False,
    ),
]
Painter = Annotated[
    str,
    typer.Option(
        "--painter", metavar="NAME", help="A model that paints, between whose halves AdaIN works."
    ),
]
Sources = Annotated[
    str, typer.Option("--from", metavar="SCENES", help="Whose photos are restyled.")
]
Targets = Annotated[str, typer.Option("--to", metavar="SCENES", help="Whose sounds are heard.")]
PairsPerScene = Annotated[
    int, typer.Option("--pairs", min=1, max=10_000, help="Photos for each scene that is heard.")
]


class PairsBy(StrEnum):
    """What makes a sound and a photo a pair."""

    SCENE = "scene"
    KEY = "key"


Ablations = Annotated[
    list[str] | None,
    typer.Option(
        "--ablation",
        metavar="NAME",
        help="Another model that gets a row, as Table 2 has them. May be repeated.",
        show_default=False,
    ),
]
PicturesPerSound = Annotated[
    int, typer.Option("--count", "-n", min=1, max=1000, help="Pictures of each sound.")
]
Figures = Annotated[
    Path | None,
    typer.Option(
        "--figures",
        metavar="DIR",
        help="Draw bars, confusion and a page of pictures into this folder.",
        show_default=False,
        readable=False,
    ),
]
PairsByOption = Annotated[
    PairsBy,
    typer.Option(
        "--pairs-by", help="What makes a sound and a photo a pair: one scene, or one moment."
    ),
]


@app.callback()
def measure() -> None:
    """Measure models."""


@app.command("control")
def control(
    model: options.Model = options.DEFAULT_MODEL,
    data: options.EvaluationData = Path("data"),
    pairs: Pairs = 200,
    photos: PhotosPerScene = 8,
    search_steps: SearchSteps = 300,
    seed: options.Seed = 0,
    device: options.DeviceOption = options.Device.AUTO,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure what volume, mixture, passages and edits do to pictures.

    Sounds and photos are the validation shards of a data folder; each line says what was counted.
    """
    console.be_quiet(quiet)
    from s2s_cli.data.shards import find_shards, load_photos, load_sounds
    from s2s_cli.errors import ModelError
    from s2s_cli.evaluation import control as measures
    from s2s_cli.studio import Studio

    studio = Studio.open(model, device)
    if studio.model.image_encoder is None:
        raise ModelError(f"The model '{model}' has no image encoder to judge with: name another.")
    examples = measures.Examples(
        studio=studio,
        sounds=load_sounds(
            find_shards(data, "sounds/val-*.tar"), studio.model.audio_encoder.config.sample_rate
        ),
        photos=load_photos(
            find_shards(data, "photos/val-*.tar"), studio.model.generator.picture_px
        ),
        per_scene=photos,
        seed=seed,
    )
    parts: list[tuple[str, int, Callable[[measures.Watch], list[measures.Measure]]]] = [
        ("volume", len(examples.heard), lambda done: measures.volume(examples, done)),
        ("mixtures", pairs, lambda done: measures.mixture(examples, pairs, done)),
        ("passages", 24, lambda done: measures.passage(examples, 24, done)),
        (
            "photos",
            photos * len(examples.scenes),
            lambda done: measures.inversion(examples, search_steps, done),
        ),
    ]
    for title, total, measured in parts:
        with console.progress(title, total) as bar:
            found = measured(bar.advance)
        tell(found, json)


@app.command("scene")
def scene(
    model: options.Model = options.DEFAULT_MODEL,
    judge: Judge = "judge",
    clip: Clip = None,
    inception: Inception = None,
    data: options.EvaluationData = Path("data"),
    others: Ablations = None,
    count: PicturesPerSound = 2,
    seed: options.Seed = 0,
    pairs_by: PairsByOption = PairsBy.SCENE,
    out: options.TableFile = None,
    figures: Figures = None,
    device: options.DeviceOption = options.Device.AUTO,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how well pictures show what sounds are of: Table 1 of Sound2Scene.

    Validation sounds are answered by (A) the generator told a photo, (B) the model, (C) photos
    retrieved from a memory as large as the generator, and (D) real photos.
    """
    console.be_quiet(quiet)
    from s2s_cli import registry
    from s2s_cli.evaluation import report
    from s2s_cli.evaluation import scene as measures
    from s2s_cli.evaluation.eyes import Eye, JudgesEye, eyes_at_hand
    from s2s_cli.studio import Studio

    exam = measures.open_exam(model, data, device, seeds=count, seed=seed, pairs_by=pairs_by.value)
    studio = exam.studio
    eyes: list[Eye] = [
        JudgesEye(registry.open_judge(judge, studio.device), exam.scenes, Path(judge).name)
    ]
    published, lacking = eyes_at_hand(exam.scenes, clip, inception, device=studio.device)
    eyes += published
    for sentence in lacking:
        console.note(sentence)
    rivals = {f"    {name}": Studio.open(name, device) for name in others or ()}
    if figures is not None:
        report.require_matplotlib()
    with console.progress("pictures", measures.pictures_of(exam, len(rivals))) as bar:
        told = measures.answered(exam, eyes, rivals, bar.advance)
    if json:
        console.answer_json(
            {"model": model, "sha256": studio.model.sha256, "count": count, "seed": seed}
        )
        tell(told.rows, json)
        for network, counts in told.confusion.items():
            console.answer_json(
                {"scenes": told.scenes, "confusion": counts.tolist(), "network": network}
            )
    else:
        tell(told.rows, json)
        console.answer(f"{len(exam.items)} pictures in each row; in brackets 95 % intervals")
        for results in told.by_scene.values():
            console.answer("")
            tell(results, json)
    if out is not None:
        report.write_table(told.rows, out)
        console.note(f"The table is {out}.")
    if figures is not None:
        draw(figures, exam, told)


def draw(folder: Path, exam: "Exam", told: "Outcome") -> None:
    """Bars, confusion, and pictures to look at, into a folder."""
    from s2s_cli.evaluation import report
    from s2s_cli.evaluation.scene import SOUND, shown
    from s2s_cli.picture.image import encode, write_atomically
    from s2s_cli.studio import DEFAULT_LOOK

    panels: dict[str, list[Measure]] = {}
    for row, results in told.rows.items():
        for one in results:
            named = replace(one, name=row.strip())
            panels.setdefault(report.name_of(one), []).append(named)
    model = exam.studio.model.name
    report.save_figure(report.bars(panels, title=model, about=SOUND), folder / "table.png")
    for network, counts in told.confusion.items():
        title = f"{model}, seen by {network}"
        figure = report.confusion(told.scenes, counts, title=title)
        report.save_figure(figure, folder / f"confusion-{network}.png")
    made = exam.studio.provenance("eval scene", (), exam.seed, DEFAULT_LOOK)
    write_atomically(folder / "pictures.jpg", encode(shown(exam), "JPEG", made))
    console.note(f"The figures are in {folder}.")


app.command("sheet")(studies.sheet)
app.command("score")(studies.score)


@app.command("judge")
def judge(
    model: options.Model = "judge",
    data: options.EvaluationData = Path("data"),
    device: options.DeviceOption = options.Device.AUTO,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how often a judge sees which scene a photo shows.

    Photos are the validation shards of a data folder. Each row of the table is a scene, each column
    how many of its photos were seen as what.
    """
    console.be_quiet(quiet)
    from s2s_cli import registry
    from s2s_cli.data.shards import find_shards, load_photos
    from s2s_cli.evaluation.judging import verdicts_of
    from s2s_cli.studio import choose_device

    network = registry.open_judge(model, choose_device(device))
    photos = load_photos(find_shards(data, "photos/val-*.tar"), network.config.picture_px)
    with console.progress("photos", len(photos.keys)) as bar:
        verdicts = verdicts_of(network, photos, bar.advance)
    tell(verdicts.measures(), json)
    if json:
        console.answer_json({"scenes": verdicts.scenes, "confusion": verdicts.confusion.tolist()})
    else:
        console.answer("\n" + verdicts.table())


@app.command("style")
def style(
    model: options.StyleModel = options.DEFAULT_STYLE_MODEL,
    judge: Judge = "judge",
    clip: Clip = None,
    inception: Inception = None,
    openl3: OpenL3Folder = None,
    painter: Painter = options.DEFAULT_MODEL,
    data: options.EvaluationData = Path("data"),
    sources: Sources = "sea,forest,mountain,snow,city",
    targets: Targets = "rain,snow,storm,fire,dusk",
    pairs: PairsPerScene = 40,
    seed: options.Seed = 0,
    out: options.TableFile = None,
    device: options.DeviceOption = options.Device.AUTO,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how far a model that restyles turns photos into the looks of sounds.

    Photos and sounds are the validation shards of a data folder; what the baselines learn from are
    its training shards. Which scene a picture shows is told by a judge that saw only photos.
    """
    console.be_quiet(quiet)
    from s2s_cli.errors import ModelError
    from s2s_cli.evaluation import report
    from s2s_cli.evaluation import style as measures
    from s2s_cli.evaluation.eyes import Eye, JudgesEye, eyes_at_hand
    from s2s_cli.evaluation.openl3 import OpenL3

    trial = measures.open_trial(
        model,
        judge,
        painter,
        data,
        device,
        sources=options.names_of(sources),
        targets=options.names_of(targets),
        pairs_per_scene=pairs,
        seed=seed,
    )
    louder = sum(pair.scene in measures.LOUDER for pair in trial.pairs)
    parts = [
        ("looks", len(trial.pairs), measures.looks),
        ("structure", len(trial.pairs), measures.structure_kept),
        ("louder", louder, measures.louder_is_further),
    ]
    for title, total, measured in parts:
        with console.progress(title, total) as bar:
            found = measured(trial, bar.advance)
        tell(found, json)
    device_name, scenes = trial.restyler.device, trial.targets
    eyes: list[Eye] = [JudgesEye(trial.judge, scenes, Path(judge).name)]
    published, lacking = eyes_at_hand(scenes, clip, inception, clean=True, device=device_name)
    ears = None
    try:
        ears = OpenL3(openl3, device_name)
    except ModelError as fault:
        if openl3 is not None:
            raise
        lacking.append(str(fault))
    for sentence in lacking:
        console.note(sentence)
    with console.progress("table", len(trial.pairs)) as bar:
        rows = measures.compared(trial, [*eyes, *published], ears, bar.advance)
    if not json:
        console.answer("")
    tell(rows, json)
    if out is not None:
        report.write_table(rows, out)
        console.note(f"The table is {out}.")


def tell(measures: "Measures", json: bool) -> None:
    """One line a number, or a line for each row of a wider table."""
    from s2s_cli.evaluation import report

    if json:
        for record in report.records_of(measures):
            console.answer_json(record)
    elif measures:
        console.answer(report.table_of(measures).text())
