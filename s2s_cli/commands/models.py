"""``s2s models``: which models are here, what they are, and where more come from."""

from pathlib import Path
from typing import Annotated, Any

import typer

from s2s_cli import console, options
from s2s_cli.errors import ModelError

app = typer.Typer(
    help="List, check, import and download models.", no_args_is_help=True, rich_markup_mode=None
)

Name = Annotated[str, typer.Argument(help="A model's name, or the path of its folder.")]


@app.command("list")
def list_models(json: options.Json = False) -> None:
    """Name every model that is here: name, size, where it lies."""
    from s2s_cli import registry

    for name in registry.names():
        folder = registry.find(name)
        size = sum((folder / file).stat().st_size for file in registry.weight_files(folder))
        if json:
            console.answer_json({"name": name, "bytes": size, "path": str(folder)})
        else:
            console.answer(f"{name}\t{size / 1e6:.1f} MB\t{folder}")


@app.command("show")
def show(name: Name, json: options.Json = False) -> None:
    """Show a model's card, and the networks it is made of."""
    from s2s_cli import registry

    folder = registry.find(name)
    card = folder / registry.CARD
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    networks: dict[str, dict[str, Any]] = {}
    for file in registry.weight_files(folder):
        family, config = registry.read_header(folder / file)
        size = (folder / file).stat().st_size
        networks[file] = {"network": family, "bytes": size, "config": config}
    digest = registry.model_sha256(folder)
    if json:
        about = {"name": folder.resolve().name, "path": str(folder), "sha256": digest}
        console.answer_json({**about, "networks": networks, "card": text})
        return
    console.answer(text.rstrip() or f"{folder} has no card.")
    console.answer(f"\npath\t{folder}\nsha256\t{digest}")
    for file, network in networks.items():
        console.answer(f"{file}\t{network['network']}\t{network['bytes'] / 1e6:.1f} MB")


@app.command("verify")
def verify(name: Name, json: options.Json = False) -> None:
    """Check a model's hashes, keys and weights, and let it paint, restyle or judge once."""
    from s2s_cli import verification

    checks = verification.verify(name)
    for check in checks:
        if json:
            console.answer_json({"check": check.what, "ok": check.ok, "fault": check.fault})
        else:
            console.answer(f"ok\t{check.what}" if check.ok else f"no\t{check.what}: {check.fault}")
    failed = sum(not check.ok for check in checks)
    if failed:
        raise ModelError(
            f"{name} failed {failed} of {len(checks)} checks: get it again before you use it."
        )


importing = typer.Typer(help="Make a model of published checkpoints.", no_args_is_help=True)
app.add_typer(importing, name="import")


@importing.callback()
def published() -> None:
    """Make a model of published checkpoints."""


@importing.command("sound2scene")
def import_sound2scene(
    audio: Annotated[
        Path, typer.Option(help="sound2scene.pth, the audio encoder.", readable=False)
    ],
    image: Annotated[Path, typer.Option(help="swav.pth.tar, the image encoder.", readable=False)],
    generator: Annotated[
        Path, typer.Option(help="IC-GAN's folder of checkpoints.", readable=False)
    ],
    name: Annotated[str, typer.Option(help="What the model shall be called.")] = "sound2scene",
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Import the three checkpoints that Sound2Scene's authors use.

    Pickles are read without running anything in them, and written as safetensors into your
    data folder.
    """
    from s2s_cli import imports

    console.note("Reading three checkpoints; this takes some seconds.")
    installed(imports.import_sound2scene(audio, image, generator, name, force), json)


@importing.command("avstyle")
def import_avstyle(
    generator: Annotated[
        Path, typer.Argument(help="latest_net_G.pth, which restyles.", readable=False)
    ],
    audio: Annotated[
        Path, typer.Argument(help="latest_net_Audio.pth, the audio encoder.", readable=False)
    ],
    name: Annotated[str, typer.Option(help="What the model shall be called.")] = "avstyle",
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Import the two checkpoints that restyle pictures in avstyle's code.

    Pickles are read without running anything in them, and written as safetensors into your
    data folder.
    """
    from s2s_cli import imports

    console.note("Reading two checkpoints; this takes some seconds.")
    installed(imports.import_avstyle(generator, audio, name, force), json)


@app.command("pull")
def pull(
    name: Annotated[str, typer.Argument(help="A name in the zoo's registry.")],
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Download a model that the zoo's registry knows, and check its bytes.

    A broken connection goes on where it broke: run the same command again.
    """
    from s2s_cli import downloads

    size = downloads.remote_model(name).size
    with console.progress(f"pull {name}", size, "bytes") as bar:
        folder = downloads.pull(name, bar.advance, force)
    installed(folder, json)


@app.command("package")
def package(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run of s2s train.")],
    name: Annotated[str, typer.Argument(help="What the model shall be called.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder to make the model's folder in. Default: with your other models.",
            show_default=False,
        ),
    ] = None,
    force: options.Force = False,
    json: options.Json = False,
) -> None:
    """Make a model of a finished run: its networks, its recipe, and a card to be completed."""
    from s2s_cli import registry
    from s2s_cli.training import packaging

    folder = packaging.package(run, name, out or registry.user_dir(), force)
    console.note(f"Its card, {folder / registry.CARD}, waits for what you saw in its pictures.")
    installed(folder, json)


def installed(folder: Path, json: bool) -> None:
    """Say where the new model is."""
    if json:
        console.answer_json({"name": folder.name, "path": str(folder)})
    else:
        console.answer(folder)
