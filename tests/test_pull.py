"""Downloads survive a bad connection, and nothing wrong is ever installed."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from s2s_cli import downloads, registry
from s2s_cli.downloads import pull
from s2s_cli.errors import ModelError
from s2s_cli.evaluation import weights
from s2s_cli.verification import check_sum

WEIGHTS = bytes(range(256)) * 4000  # 1 MB
CARD = b"# Pond\n"


class Server(ThreadingHTTPServer):
    """Serves the two files of a model, as badly as a test asks for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []  # what was asked for, request by request
        self.breaks = 0  # so many answers end half-way
        self.ignores_range = False
        self.status = 200  # any other is all there is
        self.weights = WEIGHTS

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        content = self.server.weights if self.path.endswith(".safetensors") else CARD
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if self.server.status != 200:
            return self.send_error(self.server.status)
        start = 0
        if asked and not self.server.ignores_range:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        body = content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks and len(body) > 100:
            self.server.breaks -= 1
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(body)
        return None

    def log_message(self, *_: object) -> None:
        """A test's output is no place for an access log."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def models(server, tmp_path, monkeypatch) -> Path:
    """The user's folder; a registry that names the model 'pond' on the server; no waiting."""
    monkeypatch.setenv("S2S_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("S2S_REGISTRY", str(tmp_path / "registry.toml"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(downloads, "FIRST_WAIT", 0)
    entries = "".join(
        f'[[pond.files]]\nname = "{name}"\nurl = "{server.address}/{name}"\n'
        f'sha256 = "{hashlib.sha256(content).hexdigest()}"\nsize = {len(content)}\n'
        for name, content in (("card.md", CARD), ("generator.safetensors", WEIGHTS))
    )
    (tmp_path / "registry.toml").write_text(f'[pond]\nabout = "A test."\n{entries}')
    return tmp_path / "home" / "models"


def installed(models: Path) -> list[str]:
    return sorted(path.name for path in models.iterdir())


def test_a_model_arrives_whole_and_can_be_found(models, server):
    pieces: list[int] = []
    folder = pull("pond", pieces.append)
    assert folder == registry.find("pond") == models / "pond"
    assert (folder / "generator.safetensors").read_bytes() == WEIGHTS
    assert (folder / "card.md").read_bytes() == CARD
    assert all(check_sum(folder, name).ok for name in registry.stated_sums(folder))
    assert sum(pieces) == len(WEIGHTS) + len(CARD)
    assert installed(models) == ["pond"]


def test_the_command_pulls_and_says_where_the_model_is(s2s, models, server):
    said = s2s("models", "pull", "pond")
    assert (said.code, said.lines) == (0, [str(models / "pond")])


def test_a_broken_connection_goes_on_where_it_broke(models, server):
    server.breaks = 2
    pieces: list[int] = []
    folder = pull("pond", pieces.append)
    assert (folder / "generator.safetensors").read_bytes() == WEIGHTS
    assert server.ranges[1:] == [None, "bytes=512000-", "bytes=768000-"]
    assert sum(pieces) == len(WEIGHTS) + len(CARD)  # so that a progress bar ends at its end


def test_a_later_pull_goes_on_from_an_earlier_one(models, server, monkeypatch):
    monkeypatch.setattr(downloads, "ATTEMPTS", 1)
    server.breaks = 1
    with pytest.raises(ModelError, match="run the same command again, it goes on from here"):
        pull("pond")
    assert "pond" not in registry.names()
    pull("pond")
    assert server.ranges[-1] == "bytes=512000-"
    assert (models / "pond" / "generator.safetensors").read_bytes() == WEIGHTS


def test_a_server_that_ignores_range_starts_over(models, server):
    server.breaks, server.ignores_range = 1, True
    pieces: list[int] = []
    folder = pull("pond", pieces.append)
    assert (folder / "generator.safetensors").read_bytes() == WEIGHTS
    assert sum(pieces) == len(WEIGHTS) + len(CARD)


def test_a_server_that_always_breaks_is_given_up(models, server):
    server.breaks, server.ignores_range = 10**6, True
    with pytest.raises(ModelError, match="cannot be fetched"):
        pull("pond")
    assert len(server.ranges) < 20
    assert not (models / "pond").exists()


@pytest.mark.parametrize(
    "wrong",
    [b"x" * len(WEIGHTS), WEIGHTS + b"more"],
    ids=["other bytes of the right length", "too many bytes"],
)
def test_wrong_bytes_are_never_installed(models, server, wrong):
    server.weights = wrong
    with pytest.raises(ModelError, match="sent other bytes than the registry states"):
        pull("pond")
    assert not (models / "pond").exists()
    server.weights = WEIGHTS  # the wrong bytes are not kept to go on from either
    pull("pond")
    assert (models / "pond" / "generator.safetensors").read_bytes() == WEIGHTS


def test_a_file_that_ends_too_early_is_not_installed(models, server):
    server.weights = WEIGHTS[:1000]
    with pytest.raises(ModelError, match="cannot be fetched"):
        pull("pond")
    assert not (models / "pond").exists()


def test_a_refusal_is_not_asked_twice(models, server):
    server.status = 404
    with pytest.raises(ModelError, match="answers 404 Not Found: the address may have moved"):
        pull("pond")
    assert len(server.ranges) == 1


def test_a_server_in_trouble_is_asked_again(models, server):
    server.status = 503
    with pytest.raises(ModelError, match="503"):
        pull("pond")
    assert len(server.ranges) == downloads.ATTEMPTS


def test_no_connection_is_one_sentence(models, server):
    path = models.parent.parent / "registry.toml"
    path.write_text(path.read_text().replace(server.address, "http://127.0.0.1:9"))
    with pytest.raises(ModelError, match="cannot be fetched"):
        pull("pond")


def test_a_model_that_is_here_is_not_fetched_again(models, server):
    pull("pond")
    asked = len(server.ranges)
    assert pull("pond") == models / "pond"
    assert len(server.ranges) == asked


def test_another_model_of_that_name_is_replaced_only_by_force(models, server):
    (models / "pond").mkdir(parents=True)
    (models / "pond" / "generator.safetensors").write_text("mine")
    with pytest.raises(ModelError, match="is another model: replace it with --force"):
        pull("pond")
    assert (models / "pond" / "generator.safetensors").read_text() == "mine"
    pull("pond", force=True)
    assert (models / "pond" / "generator.safetensors").read_bytes() == WEIGHTS
    assert installed(models) == ["pond"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('name = "card.md"', 'name = "../../card.md"', "'../../card.md' is not a plain file name"),
        ('name = "card.md"', 'name = "SHA256SUMS"', "'SHA256SUMS' is not a plain file name"),
        ("http://", "file://", "is not a web address"),
        ("size = 7", 'size = "7"', "must be a whole number"),
        ("[pond]", "[pond", "is not a registry of models"),
    ],
)
def test_a_registry_that_asks_for_the_wrong_thing_is_refused(models, old, new, sentence):
    path = models.parent.parent / "registry.toml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ModelError) as stop:
        pull("pond")
    assert sentence in str(stop.value)


def test_a_network_of_metrics_goes_to_where_those_are(models, server):
    path = models.parent.parent / "registry.toml"
    path.write_text(path.read_text().replace("[pond]", "[pond]\nmetric = true"))
    folder = pull("pond")
    assert folder == registry.metrics_dir() / "pond" == models.parent / "metrics" / "pond"
    assert installed(folder) == ["card.md", "generator.safetensors"]
    assert "pond" not in registry.names()
    asked = len(server.ranges)
    assert pull("pond") == folder
    assert len(server.ranges) == asked


def test_an_unknown_name_gets_one_helpful_sentence(models):
    with pytest.raises(ModelError, match=r"no model called 'pnod' to pull\. Did you mean"):
        pull("pnod")


def test_the_registry_that_is_shipped_can_be_read(monkeypatch):
    monkeypatch.delenv("S2S_REGISTRY", raising=False)
    models = downloads.remote_models()
    assert all(model.files for model in models.values())
    assert all(len(file.sha256) == 64 for model in models.values() for file in model.files)


def test_the_networks_of_metrics_that_can_be_pulled_have_every_file_that_is_read(monkeypatch):
    monkeypatch.delenv("S2S_REGISTRY", raising=False)
    models = {name: model for name, model in downloads.remote_models().items() if model.metric}
    files = {name: {file.name for file in model.files} for name, model in models.items()}
    assert files == {
        weights.INCEPTION: {weights.INCEPTION_FILE},
        weights.CLIP: {*weights.CLIP_FILES, weights.CLIP_WEIGHTS[-1]},
    }
