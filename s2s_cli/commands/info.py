"""``s2s info``: how a picture was made."""

import json as jsons
from pathlib import Path
from typing import Annotated

import typer

from s2s_cli import console, options

Pictures = Annotated[
    list[Path], typer.Argument(metavar="FILE", help="Pictures that s2s wrote.", readable=False)
]


def info(pictures: Pictures, json: options.Json = False) -> None:
    """Say how a picture was made.

    Its sounds and their hashes, the model, the seed and every option.
    """
    from s2s_cli.delivery import Delivery
    from s2s_cli.picture.provenance import read_provenance

    delivery = Delivery()
    for path in pictures:
        with delivery.attempt():
            made = read_provenance(path)
            if json:
                console.answer_json({"path": str(path), **jsons.loads(made.to_json())})
                continue
            rows = [("picture", path), ("made by", f"s2s {made.command}, version {made.version}")]
            for source in made.sources:
                rows += [(source.role, source.name), ("  SHA-256", source.sha256)]
            rows += [("model", made.model), ("  SHA-256", made.model_sha256), ("seed", made.seed)]
            rows += [("device", made.device), ("precision", made.precision)]
            rows += sorted(made.options.items())
            for name, value in rows:
                console.answer(f"{name:<12} {'-' if value is None else value}")
    delivery.close()
