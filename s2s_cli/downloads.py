"""Fetch a model whose address, size and SHA-256 the zoo's registry states.

A broken connection goes on where it broke, also after a restart of the program. Nothing is
installed before every byte has been checked.
"""

import http.client
import os
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from s2s_cli import __version__, registry
from s2s_cli.errors import ModelError, nearest
from s2s_cli.networks.config import from_table

ATTEMPTS = 6  # in a row without a new byte before a file is given up
FIRST_WAIT = 0.5  # seconds before the second attempt; doubled before each further one
TIMEOUT = 30.0  # seconds without a byte after which a connection counts as broken
CHUNK = 1 << 18  # bytes between two reports

Report = Callable[[int], None]  # told how many bytes have come; negative where some were dropped


@dataclass(frozen=True)
class RemoteFile:
    """One file of a model on a server."""

    name: str  # in the model's folder
    url: str
    sha256: str  # hexadecimal
    size: int  # bytes


@dataclass(frozen=True)
class RemoteModel:
    """A model that can be pulled."""

    about: str  # what it is, from whom, and under which licence
    files: tuple[RemoteFile, ...]
    metric: bool = False  # a network that metrics are made with: it goes to where those are

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)


def remote_models() -> dict[str, RemoteModel]:
    """Every model that can be pulled, by name: ``registry.toml`` beside the shipped models.

    The environment variable S2S_REGISTRY names another file, of your own server for instance.

    Raises:
        ModelError: the file is missing or does not describe models.
    """
    path = Path(os.environ.get("S2S_REGISTRY") or registry.shipped_dir() / "registry.toml")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        models = {name: from_table(RemoteModel, table) for name, table in tables.items()}
        for name, model in models.items():
            for file in (name, *(file.name for file in model.files)):
                if Path(file).name != file or file.startswith(".") or file == registry.SUMS:
                    raise ValueError(f"'{file}' is not a plain file name")
            for url in (file.url for file in model.files):
                if not url.startswith(("https://", "http://")):
                    raise ValueError(f"{url} is not a web address")
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{path} is not a registry of models: {error}.") from error
    return models


def remote_model(name: str) -> RemoteModel:
    """The registry's entry for a name.

    Raises:
        ModelError: there is none.
    """
    models = remote_models()
    if name not in models:
        hint = nearest(name, list(models)) if models else "The registry lists none yet."
        raise ModelError(f"There is no model called '{name}' to pull. {hint}")
    return models[name]


def pull(name: str, report: Report = lambda _: None, force: bool = False) -> Path:
    """Download a model into the user's folder, or that of metrics.

    Args:
        name: as the registry has it.
        report: told of every piece that arrives; what an earlier try left counts at once.
        force: replace a model of that name; one whose bytes are right is kept in any case.

    Returns:
        The model's folder. It appears only when all its bytes have been checked.

    Raises:
        ModelError: unknown name, no connection, a refusal, or bytes that are not the stated ones.
    """
    model = remote_model(name)
    target = (registry.metrics_dir() if model.metric else registry.user_dir()) / name
    if all(is_right(target / file.name, file) for file in model.files):
        report(model.size)
        return target
    if target.exists() and not force:
        raise ModelError(f"{target} exists and is another model: replace it with --force.")
    # Kept when the connection breaks for good, so that the next pull goes on from here.
    unfinished = target.with_name(f".{name}.pull")
    with registry.unwritable(unfinished):
        unfinished.mkdir(parents=True, exist_ok=True)
    for file in model.files:
        fetch(file, unfinished / file.name, report)
    if not model.metric:
        registry.write_sums(unfinished)
    registry.replace_folder(unfinished, target)
    return target


def is_right(path: Path, file: RemoteFile) -> bool:
    """Whether a file is there, with the stated size and hash."""
    return size_of(path) == file.size and registry.sha256(path) == file.sha256.lower()


def fetch(file: RemoteFile, path: Path, report: Report) -> None:
    """Download one file, going on from what ``path`` already holds, and check it."""
    furthest = size_of(path)
    report(furthest)
    failures = 0
    while size_of(path) < file.size:
        refused: Exception | None = None
        try:
            receive(file, path, report)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # the server's file ends before ours: ours began as another one
                report(-size_of(path))
                path.unlink(missing_ok=True)
            elif error.code < 500 and error.code not in (408, 429):
                raise ModelError(
                    f"{file.url} answers {error.code} {error.reason}: the address may have moved."
                ) from error
            refused = error
        except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            refused = error
        if size_of(path) >= file.size:
            break
        # Only new ground counts: a server that begins again and again would never be given up.
        failures = 1 if size_of(path) > furthest else failures + 1
        furthest = max(furthest, size_of(path))
        if failures >= ATTEMPTS:
            why = refused or "it ends too early"
            raise ModelError(
                f"{file.url} cannot be fetched ({why}): check the connection and run the same "
                "command again, it goes on from here."
            ) from refused
        time.sleep(FIRST_WAIT * 2 ** (failures - 1))
    if not is_right(path, file):
        path.unlink()
        raise ModelError(
            f"{file.url} sent other bytes than the registry states ({file.sha256[:12]}...): "
            "nothing was installed; try again later, or report it."
        )


def size_of(path: Path) -> int:
    """Bytes of a file, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def receive(file: RemoteFile, path: Path, report: Report) -> None:
    """One connection: append what comes, until the file is complete or the connection ends."""
    have = size_of(path)
    headers = {"User-Agent": f"s2s/{__version__}"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(file.url, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        goes_on = response.status == 206 and resumes_at(response, have)
        if have and not goes_on:  # the server sends the file from its beginning
            report(-have)
            have = 0
        with path.open("ab" if goes_on else "wb") as out:
            # One byte beyond the stated size is enough to know that it is the wrong file.
            while have <= file.size and (piece := response.read(CHUNK)):
                out.write(piece)
                have += len(piece)
                report(len(piece))


def resumes_at(response: http.client.HTTPResponse, have: int) -> bool:
    """Whether a partial answer begins where our bytes end."""
    return response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
