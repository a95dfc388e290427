"""A finished run becomes a model with a name, hashes, a card, and a recipe that makes it again."""

import hashlib
import json
import re
import shutil
import subprocess

import pytest
import torch
from conftest import TINY_RECIPE

from s2s_cli import registry
from s2s_cli.training.curriculum import curriculum_of
from s2s_cli.training.recipe import read_recipe

NETWORKS = ["audio_encoder.safetensors", "generator.safetensors", "image_encoder.safetensors"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_data):
    """The folder of a finished run, and its recipe."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "recipe.toml").write_text(TINY_RECIPE)
    recipe = read_recipe(folder / "recipe.toml", ["audio-encoder.pull=0.5", "seed=3"])
    curriculum_of(
        recipe, str(tiny_data), folder / "run", device=torch.device("cpu"),
        watch=lambda *_: lambda _: None,
    ).learn()  # fmt: skip
    return folder / "run", recipe


@pytest.fixture
def run(finished, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(finished[0], tmp_path / "run")


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_finished_run_becomes_a_model_under_its_name(s2s, finished, low_wav, tmp_path):
    run, _ = finished
    said = s2s("models", "package", run, "brook")
    folder = registry.user_dir() / "brook"
    assert (said.code, said.lines) == (0, [str(folder)])
    assert "waits for what you saw in its pictures" in said.err
    assert names_in(folder) == [
        "SHA256SUMS",
        *NETWORKS[:1],
        "card.md",
        *NETWORKS[1:],
        "recipe.toml",
    ]
    assert names_in(folder.parent) == ["brook"]  # and no draft
    for name in NETWORKS:
        assert (folder / name).read_bytes() == (run / "model" / name).read_bytes()
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in NETWORKS
    }
    assert s2s("models", "verify", "brook").code == 0
    assert any(line.startswith("brook\t") for line in s2s("models", "list").lines)
    assert s2s("generate", low_wav, "-m", "brook", "-o", tmp_path / "out.png").code == 0


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="asks sha256sum itself")
def test_sha256sum_itself_agrees(s2s, finished):
    s2s("models", "package", finished[0], "brook")
    folder = registry.user_dir() / "brook"
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True)


def test_its_recipe_is_that_of_the_run_and_can_be_trained_again(s2s, finished, tiny_data, tmp_path):
    run, recipe = finished
    s2s("models", "package", run, "brook")
    path = registry.user_dir() / "brook" / "recipe.toml"
    text = path.read_text()
    assert text.startswith("# s2s train models/brook/recipe.toml --data DIR\n")
    assert "learning-rate = " in text  # as recipes are written
    assert "_" not in "".join(re.findall(r"^[\w.\[\]-]+", text, re.MULTILINE))
    again = read_recipe(path)
    assert (again.name, recipe.name) == ("brook", "tiny")
    assert again == type(recipe)(**{**vars(recipe), "name": "brook"})
    said = s2s("train", path, "--data", tiny_data, "-o", tmp_path / "again", "-q")
    assert said.code == 0
    for name in NETWORKS:
        made, before = (folder / "model" / name for folder in (tmp_path / "again", run))
        assert made.read_bytes() == before.read_bytes()


def test_its_card_tells_what_is_known_and_what_is_not(s2s, finished):
    run, recipe = finished
    said = s2s("models", "package", run, "brook", "--json")
    folder = registry.user_dir() / "brook"
    assert json.loads(said.out) == {"name": "brook", "path": str(folder)}
    card = (folder / "card.md").read_text()
    assert card.startswith("# brook\n")
    assert card.count("to be written by") == 2
    origin = json.loads((run / "origin.json").read_text())
    for digest in origin["data"].values():
        assert digest in card
    assert f"torch {origin['torch']} and Python {origin['python']}" in card
    for name in NETWORKS:
        weights = sum(p.numel() for p in registry.load_network(folder / name).parameters())
        assert f"| `{name}` | {weights:,} |" in card
    last = {}
    for line in (run / "log.jsonl").open():
        entry = json.loads(line)
        last[entry["stage"]] = entry
    for stage, plan in recipe.stages.items():
        row = next(line for line in card.splitlines() if line.startswith(f"| {stage} |"))
        assert row.startswith(f"| {stage} | {plan.steps} | {plan.batch} | ")
        assert f"loss {last[stage]['loss']:.4g}" in row


def test_another_folder_may_be_named(s2s, finished, tmp_path):
    said = s2s("models", "package", finished[0], "brook", "-o", tmp_path / "new" / "models")
    assert said.lines == [str(tmp_path / "new" / "models" / "brook")]
    assert s2s("models", "verify", tmp_path / "new" / "models" / "brook").code == 0
    assert not registry.user_dir().exists()


def test_what_is_there_already_stays_unless_forced(s2s, finished):
    s2s("models", "package", finished[0], "brook")
    card = registry.user_dir() / "brook" / "card.md"
    card.write_text("mine")
    said = s2s("models", "package", finished[0], "brook")
    assert said.code == 1
    assert f"{card.parent} is there already: replace it with --force" in said.err
    assert card.read_text() == "mine"
    assert s2s("models", "package", finished[0], "brook", "--force").code == 0
    assert card.read_text().startswith("# brook")
    assert names_in(registry.user_dir()) == ["brook"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".brook", "a/b", "/tmp/brook", "Brook", "a b", "-x"]
)
def test_what_cannot_be_a_name_is_a_sentence(s2s, finished, name, tmp_path):
    """Not even with --force, which would put a model in the place of all of them."""
    out = tmp_path / "models"
    (out / "other").mkdir(parents=True)
    said = s2s("models", "package", "-o", out, "--force", "--", finished[0], name)
    assert said.code == 1
    assert f"'{name}' cannot name a model: use small letters" in said.err
    assert [path.name for path in out.rglob("*")] == ["other"]


def test_the_name_of_a_shipped_model_would_never_be_found(s2s, finished, tmp_path):
    said = s2s("models", "package", finished[0], "pocket")
    assert said.code == 1
    assert "'pocket' is a model that comes with s2s: choose another name." in said.err
    # Beside those that are shipped it is another matter.
    assert s2s("models", "package", finished[0], "pocket", "-o", tmp_path / "zoo").code == 0


def test_a_folder_without_a_run_is_a_sentence(s2s, tmp_path):
    said = s2s("models", "package", tmp_path, "brook")
    assert said.code == 1
    assert f"{tmp_path} holds no run that can be read" in said.err


def test_an_unfinished_run_says_what_is_missing(s2s, run):
    for name in ("generator.safetensors", "audio_encoder.safetensors"):
        (run / name).unlink()
    said = s2s("models", "package", run, "brook")
    assert said.code == 1
    assert f"{run} is not finished (generator, audio-encoder is missing): run s2s train" in said.err
    assert not registry.user_dir().exists()


@pytest.mark.parametrize("missing", ["SHA256SUMS", "generator.safetensors", None])
def test_a_model_that_a_kill_left_in_part_is_not_finished(
    s2s, run, missing, tiny_recipe, tiny_data
):
    if missing is None:
        shutil.rmtree(run / "model")
    else:
        (run / "model" / missing).unlink()
    said = s2s("models", "package", run, "brook")
    assert said.code == 1
    assert f"{run} is not finished (its model is missing): run s2s train again." in said.err
    assert not registry.user_dir().exists()
    words = ["--set", "audio-encoder.pull=0.5", "--set", "seed=3"]
    assert s2s("train", tiny_recipe, "--data", tiny_data, "-o", run, *words).code == 0
    assert s2s("models", "package", run, "brook").code == 0


def test_a_place_that_cannot_be_written_is_a_sentence(s2s, finished, tmp_path):
    (tmp_path / "file").write_text("no folder")
    said = s2s("models", "package", finished[0], "brook", "-o", tmp_path / "file")
    assert said.code == 1
    assert "brook cannot be written" in said.err
    assert (tmp_path / "file").read_text() == "no folder"
