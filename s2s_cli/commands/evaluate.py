"""``s2s eval``: what a model can do, in numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from s2s_cli import console, options

app = typer.Typer(help="Measure models.", no_args_is_help=True, rich_markup_mode=None)

DataFolder = Annotated[
    Path,
    typer.Option(
        "--data", help="The folder with photos/val-*.tar and sounds/val-*.tar.", readable=False
    ),
]
Pairs = Annotated[int, typer.Option("--pairs", min=1, max=10_000, help="Mixtures to listen to.")]
PhotosPerScene = Annotated[
    int, typer.Option("--photos", min=1, max=10_000, help="Photos of each scene to find again.")
]
SearchSteps = Annotated[int, typer.Option("--steps", min=1, max=100_000, help="As of `s2s edit`.")]


@app.callback()
def measure() -> None:
    """Measure models."""


@app.command("control")
def control(
    model: options.Model = options.DEFAULT_MODEL,
    data: DataFolder = Path("data"),
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
        for one in found:
            if json:
                console.answer_json(
                    {"measure": one.name, "value": one.value, "unit": one.unit, "of": one.of}
                )
            else:
                value = f"{one.value:.1f} {one.unit}" if one.unit else f"{one.value:.2f}"
                console.answer(f"{one.name:<60} {value:<13} {one.of}")
