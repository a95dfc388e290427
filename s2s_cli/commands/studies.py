"""``s2s eval sheet`` and ``score``: pages that ask people, and what their answers say."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli import console, options
from s2s_cli.choices import Kind

if TYPE_CHECKING:
    from s2s_cli.data.shards import Sounds
    from s2s_cli.evaluation.ratings import Key
    from s2s_cli.evaluation.study import Clip
    from s2s_cli.studio import Studio

SOUNDS_EACH = 3  # sounds that are painted for each question; wrong pictures are of the others

KindArgument = Annotated[
    Kind,
    typer.Argument(
        metavar="KIND",
        help="match: which picture is of the sound? preference: which pictures are, of two "
        "models'? ranking: which restyled photo goes best with the sound, which next?",
        show_default=False,
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="A name that `s2s models list` shows, or a folder. "
        f"Default: {options.DEFAULT_MODEL}, for a ranking {options.DEFAULT_STYLE_MODEL}.",
        show_default=False,
    ),
]
Against = Annotated[
    str | None,
    typer.Option(
        "--against",
        metavar="NAME",
        help="Of a preference: the other model. Default: the model itself, which is told a photo "
        "of the scene instead of the sound.",
        show_default=False,
    ),
]
StudyData = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="DIR",
        help="The folder with sounds/val-*.tar. A preference without --against takes "
        "photos/val-*.tar too, a ranking also the training shards.",
        readable=False,
    ),
]
OwnSounds = Annotated[
    Path | None,
    typer.Option(
        "--sounds",
        metavar="DIR",
        help="Ask about your own sounds instead: a folder with SCENE/SOUND files.",
        show_default=False,
        readable=False,
    ),
]
Page = Annotated[
    Path,
    typer.Option(
        "--out", "-o", metavar="FILE", help="The page, a file that ends in .html.", readable=False
    ),
]
Questions = Annotated[
    int,
    typer.Option(
        "--questions", min=1, max=200, metavar="N", help="As many sounds are asked about."
    ),
]
Sources = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="SCENES",
        help="Of a ranking: whose photos are restyled. Default: as of `s2s eval style`.",
        show_default=False,
    ),
]
Targets = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="SCENES",
        help="Of a ranking: whose sounds are heard. Default: as of `s2s eval style`, or all "
        "scenes of --sounds.",
        show_default=False,
    ),
]
Painter = Annotated[
    str | None,
    typer.Option(
        "--painter",
        metavar="NAME",
        help="Of a ranking: a model that paints, between whose halves AdaIN works. "
        f"Default: {options.DEFAULT_MODEL}.",
        show_default=False,
    ),
]
StudySeed = Annotated[
    int,
    options.seed_of("Of the choice of sounds, and of the first picture; each sound has the next."),
]
StudyForce = Annotated[
    bool,
    typer.Option(
        "--force",
        "-f",
        help="Replace a page and its key; answers to the old page can then not be scored.",
    ),
]
StudyJson = Annotated[
    bool, typer.Option("--json", help="A JSON object with page, key and methods, not the path.")
]
AnswerFiles = Annotated[
    list[Path],
    typer.Argument(
        metavar="ANSWERS",
        help="The files that people saved at the end of the page, one of each person.",
        show_default=False,
        readable=False,
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE",
        help="The key that was written beside the page. Default: the only one beside the answers, "
        "or else here.",
        show_default=False,
        readable=False,
    ),
]
ScoreJson = Annotated[bool, typer.Option("--json", help="One JSON object a number, one a line.")]


@dataclass(frozen=True)
class Asked:
    """What a study is to be made of, as its options say."""

    kind: Kind
    model: str
    against: str | None
    data: Path
    sounds: Path | None  # a folder of files, in the place of the shards
    questions: int
    sources: list[str] | None
    targets: list[str] | None
    painter: str
    seed: int
    device: options.Device


def sheet(
    kind: KindArgument,
    model: ModelName = None,
    against: Against = None,
    data: StudyData = Path("data"),
    sounds: OwnSounds = None,
    out: Page = Path("study.html"),
    questions: Questions = 20,
    sources: Sources = None,
    targets: Targets = None,
    painter: Painter = None,
    seed: StudySeed = 0,
    device: options.DeviceOption = options.Device.AUTO,
    force: StudyForce = False,
    json: StudyJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Make a page that asks people about pictures.

    The page is one file for any browser: send it, or put it on the web. It fetches and sends
    nothing; whoever has answered saves a small file for you. Which picture is whose stands in a
    key beside it, PAGE.key.json, which you keep: `s2s eval score` reads it with the answers.

    match and preference ask as Sound2Scene did: to a sound there are the right picture and three
    of other scenes, or two right ones, by two models, and three others. ranking asks as the second
    paper did: the same photo is restyled by the sound, by the scene that was predicted from it, by
    the scene's keyword and by AdaIN.
    """
    console.be_quiet(quiet)
    foreign = {
        "--against": (against, Kind.PREFERENCE),
        "--from": (sources, Kind.RANKING),
        "--to": (targets, Kind.RANKING),
        "--painter": (painter, Kind.RANKING),
    }
    for option, (value, its) in foreign.items():
        if value is not None and kind is not its:
            raise typer.BadParameter(f"{option} is of a {its}, not of a {kind}.")
    if out.suffix.lower() != ".html":
        raise typer.BadParameter(f"The page '{out}' must be a file that ends in .html.")
    from s2s_cli.errors import OutputError
    from s2s_cli.evaluation import study

    for path in (out, study.key_path(out)):
        if os.path.lexists(path) and not force:
            raise OutputError(
                f"'{path}' is there already: replace it with --force, "
                "or choose another place with --out."
            )
    restyles = kind is Kind.RANKING
    asked = Asked(
        kind=kind,
        model=model or (options.DEFAULT_STYLE_MODEL if restyles else options.DEFAULT_MODEL),
        against=against,
        data=data,
        sounds=sounds,
        questions=questions,
        sources=options.names_of(sources or "") or None,
        targets=options.names_of(targets or "") or None,
        painter=painter or options.DEFAULT_MODEL,
        seed=seed,
        device=device,
    )
    clips = list(restyled(asked) if restyles else painted(asked))
    drawn = study.draw_questions(kind, clips, questions, seed)
    made = study.make_study(kind, drawn, seed)
    key = study.write_study(made, out, replace=force)
    console.note(f"Keep {key} to yourself: `s2s eval score` needs it, and it tells the answers.")
    if json:
        told = {"page": out, "key": key, "study": made.key.study, "kind": kind, "seed": seed}
        console.answer_json(told | {"questions": questions, "methods": made.key.methods})
    else:
        console.answer(out)


def painted(asked: Asked) -> Iterator["Clip"]:
    """Pictures of sounds by a model, and, of a preference, by another or of photos."""
    from s2s_cli.data.shards import find_shards, load_photos
    from s2s_cli.evaluation import exhibits
    from s2s_cli.studio import Studio

    studios = [Studio.open(asked.model, asked.device)]
    if asked.against is not None:
        studios.append(Studio.open(asked.against, asked.device))
        require_two(studios, asked)
    seconds = max(studio.model.audio_encoder.config.seconds for studio in studios)
    sounds = sounds_of(asked, studios[0], seconds)
    exhibits.require_enough(asked.questions, len(sounds))
    methods = {studio.model.name: exhibits.by_sound(studio, sounds) for studio in studios}
    if asked.kind is Kind.PREFERENCE and asked.against is None:
        studio = studios[0]
        photos = load_photos(
            find_shards(asked.data, "photos/val-*.tar"), studio.model.generator.picture_px
        )
        told = exhibits.by_photo(studio, sounds, photos, asked.seed)
        methods[f"{studio.model.name} told a photo"] = told
    chosen = exhibits.spread(sounds.scenes, SOUNDS_EACH * asked.questions, asked.seed)
    with console.progress("painting", len(chosen), "sounds") as bar:
        for clip in exhibits.painted(sounds, chosen, methods, seconds, asked.seed):
            yield clip
            bar.advance()


def restyled(asked: Asked) -> Iterator["Clip"]:
    """Photos in the look of sounds, by a model that restyles and by the paper's baselines."""
    from dataclasses import replace

    from s2s_cli.evaluation import exhibits, style
    from s2s_cli.restyling import Restyler

    own = None
    if asked.sounds is not None:
        hearing = Restyler.open(asked.model, asked.device)
        own = sounds_of(asked, hearing, hearing.model.audio_encoder.config.seconds)
    scenes = sorted(set(own.scenes)) if own else style.TARGETS
    trial = style.open_trial(
        asked.model,
        "judge",
        asked.painter,
        asked.data,
        asked.device,
        sources=asked.sources or style.SOURCES,
        targets=asked.targets or scenes,
        pairs_per_scene=1,
        seed=asked.seed,
    )
    if own is not None:
        trial = replace(trial, sounds=own)
    pairs = exhibits.pairs_of(trial, asked.questions, asked.seed)
    with console.progress("hearing what to compare with", len(trial.known_sounds), "sounds") as bar:
        trial.labels = trial.hear_labels(bar.advance)
    with console.progress("restyling", len(pairs), "photos") as bar:
        for clip in exhibits.restyled(trial, pairs):
            yield clip
            bar.advance()


def sounds_of(asked: Asked, studio: "Studio", seconds: float) -> "Sounds":
    """The sounds that can be asked about: of a folder, or of the validation shards."""
    from s2s_cli.data.shards import find_shards, load_sounds
    from s2s_cli.evaluation.exhibits import sounds_of_folder

    hertz = studio.model.audio_encoder.config.sample_rate
    if asked.sounds is not None:
        return sounds_of_folder(asked.sounds, hertz, seconds)
    return load_sounds(find_shards(asked.data, "sounds/val-*.tar"), hertz)


def require_two(studios: list["Studio"], asked: Asked) -> None:
    """Two models must differ, and hear alike.

    Raises:
        ModelError: they do not.
    """
    from s2s_cli.errors import ModelError

    one, other = (studio.model for studio in studios)
    if one.sha256 == other.sha256:
        raise ModelError(
            f"'{asked.against}' is the very model '{asked.model}': name another with --against."
        )
    rates = [model.audio_encoder.config.sample_rate for model in (one, other)]
    if rates[0] != rates[1]:
        raise ModelError(
            f"'{asked.model}' hears at {rates[0]} Hz and '{asked.against}' at {rates[1]} Hz: "
            "compare models that hear at one rate."
        )


def score(
    answers: AnswerFiles,
    key: KeyFile = None,
    out: options.TableFile = None,
    json: ScoreJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Score what people answered on such a page.

    A match gives the precision; a preference the recall probability and the precision of both
    models; a ranking the mean rank (1 is best) and the mean score (4 is best of 4) of each method.
    Beside each stand its 95 % interval and, where there is one, the paper's number.
    """
    console.be_quiet(quiet)
    from s2s_cli.evaluation import ratings, report

    known = key_of(answers, key)
    results = ratings.score(known, [ratings.read_answers(path, known) for path in answers])
    if out is not None:
        report.write_table(results, out)
        console.note(f"The table is {out}.")
    if json:
        for record in report.records_of(results):
            console.answer_json(record)
    else:
        console.answer(report.Table.of(results).text())


def key_of(answers: list[Path], key: Path | None) -> "Key":
    """The key that was named, or else the only one beside the answers, or else here.

    Raises:
        DataError: there is none, or more than one; or it cannot be read.
    """
    from s2s_cli.errors import DataError
    from s2s_cli.evaluation.ratings import read_key

    if key is None:
        beside = {path for file in answers for path in file.parent.glob("*.key.json")}
        found = sorted(beside or set(Path().glob("*.key.json")))
        if len(found) != 1:
            many = f"{len(found)} keys lie" if found else "No key lies"
            raise DataError(f"{many} beside '{answers[0]}': name the page's own with --key.")
        (key,) = found
    return read_key(key)
