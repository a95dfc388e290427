"""What a run tells: its log, its sheets, TensorBoard's files, and how far it has come."""

import hashlib
import io
import json
import resource
import shutil
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
import torch
from PIL import Image

import s2s_cli
from s2s_cli.errors import OutputError, RecipeError
from s2s_cli.training import loop
from s2s_cli.training.curriculum import curriculum_of
from s2s_cli.training.journal import Journal, progress_of, read_log
from s2s_cli.training.recipe import read_recipe, recipe_of


@pytest.fixture
def train_s2s(s2s, tiny_recipe, tiny_data, tmp_path):
    """Train the tiny recipe, with these settings, to ``run``."""

    def train(*changes, out="run"):
        words = [word for change in changes for word in ("--set", change)]
        said = s2s("train", tiny_recipe, "--data", tiny_data, "-o", tmp_path / out, *words)
        assert said.code == 0, said.err
        return tmp_path / out

    return train


def events_of(folder):
    """TensorBoard's own reading of a stage's files."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0})
    return events.Reload()


def scalars_of(folder, name):
    return [(event.step, event.value) for event in events_of(folder).Scalars(name)]


# The log


def test_what_came_after_the_last_checkpoint_is_forgotten_for_it_comes_again(tmp_path):
    for stage in ("one", "other"):
        journal = Journal(tmp_path, stage, 0)
        for step in (20, 40, 60):
            journal.record(step, {"loss": step / 10}, 7.0)
        journal.close()
    journal = Journal(tmp_path, "one", 40)
    journal.record(60, {"loss": 0.5}, 8.0)
    journal.close()
    told = [(entry["stage"], entry["step"], entry["loss"]) for entry in read_log(tmp_path)]
    assert told == [
        ("one", 20, 2.0), ("one", 40, 4.0),
        ("other", 20, 2.0), ("other", 40, 4.0), ("other", 60, 6.0), ("one", 60, 0.5),
    ]  # fmt: skip
    assert scalars_of(tmp_path / "tensorboard" / "one", "loss") == [(20, 2.0), (40, 4.0), (60, 0.5)]


def test_half_an_entry_that_a_kill_left_is_no_entry(tmp_path):
    journal = Journal(tmp_path, "one", 0)
    journal.record(20, {"loss": 1.0}, 7.0)
    journal.record(40, {"loss": 2.0}, 7.0)
    path = tmp_path / "log.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    assert [entry["step"] for entry in read_log(tmp_path)] == [20]
    Journal(tmp_path, "one", 20).record(40, {"loss": 3.0}, 7.0)
    assert [(entry["step"], entry["loss"]) for entry in read_log(tmp_path)] == [(20, 1), (40, 3)]


def test_where_tensorboard_is_missing_the_rest_is_told_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    journal = Journal(tmp_path, "one", 0)
    journal.record(20, {"loss": 1.0}, 7.0)
    journal.show(20, torch.zeros(2, 3, 4, 4), 2)
    journal.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "sheets"]


def test_what_is_told_is_on_the_disk_at_once(tmp_path):
    """A kill takes nothing of it: neither file is closed here."""
    journal = Journal(tmp_path, "one", 0)
    journal.record(20, {"loss": 1.5}, 7.0)
    assert scalars_of(tmp_path / "tensorboard" / "one", "loss") == [(20, 1.5)]
    assert read_log(tmp_path)[0]["loss"] == 1.5
    journal.close()


@pytest.mark.parametrize(
    ("bytes_free", "file"), [(60, "events.out.tfevents"), (80, "log.jsonl"), (250, "one-0000020")]
)
def test_a_full_disk_is_a_sentence_whatever_is_written(tmp_path, bytes_free, file):
    """A file may grow no longer than this. No thread of TensorBoard's speaks beside it."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    pictures = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def tell() -> None:
        journal = Journal(tmp_path, "one", 0)
        journal.record(20, {}, 7.0)
        journal.show(20, pictures, 2)

    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_free, limit[1]))
    try:
        with pytest.raises(OutputError, match=rf"Cannot write '.*{file}.*' *[(:].*too large"):
            tell()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


# TensorBoard and sheets


def test_tensorboard_tells_what_the_log_does_and_shows_the_sheets(train_s2s, monkeypatch):
    monkeypatch.setattr(loop, "EVERY", 2)
    run = train_s2s("generator.plan.sheet-every=4", "autoencoder.plan.sheet-every=0")
    log = read_log(run)
    for stage in ("image-encoder", "autoencoder", "generator", "audio-encoder"):
        entries = [entry for entry in log if entry["stage"] == stage]
        assert [entry["step"] for entry in entries] == [2, 4, 6]
        told = events_of(run / "tensorboard" / stage)
        names = entries[0].keys() - {"stage", "step", "seconds", "time"}
        assert set(told.Tags()["scalars"]) == names >= {"loss", "per_second"}
        for name in names:
            values = [(event.step, event.value) for event in told.Scalars(name)]
            assert values == [(e["step"], pytest.approx(e[name], rel=1e-5)) for e in entries]
    sheets = sorted(path.name for path in (run / "sheets").iterdir())
    assert sheets == ["generator-0000004.png", "generator-0000006.png"]
    shown = events_of(run / "tensorboard" / "generator").Images("pictures")
    assert [event.step for event in shown] == [4, 6]
    for event, name in zip(shown, sheets, strict=True):
        seen = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
        assert np.array_equal(seen, np.asarray(Image.open(run / "sheets" / name)))
        assert seen.shape == (2 * 32, 8 * 32, 3)  # sixteen pictures of 32 px, eight a row


def test_a_sheet_is_the_same_where_nothing_was_learned(train_s2s):
    """Noise, features and photos of a sheet are always the same ones."""

    def sheets(rate, out):
        plans = [f"{stage}.plan" for stage in ("autoencoder", "generator")]
        run = train_s2s(
            "generator.plan.ema-decay=0",
            *(f"{plan}.sheet-every=1" for plan in plans),
            *(f"{plan}.steps=3" for plan in plans),
            *(f"{plan}.warmup-steps=0" for plan in plans),
            *(f"{plan}.learning-rate={rate}" for plan in plans),
            out=out,
        )
        kinds = {}
        for path in sorted((run / "sheets").iterdir()):
            kinds.setdefault(path.name.rsplit("-", 1)[0], []).append(path.read_bytes())
        assert {kind: len(some) for kind, some in kinds.items()} == {
            "autoencoder": 3, "generator": 3,
        }  # fmt: skip
        return [len(set(some)) for some in kinds.values()]

    assert sheets(1e-12, "still") == [1, 1]
    assert sheets(1e-2, "moved") == [3, 3]


def test_a_sheet_is_laid_out_row_by_row(tmp_path):
    shades = torch.linspace(-1, 1, 5)[:, None, None, None].expand(5, 3, 2, 3)
    journal = Journal(tmp_path, "one", 0)
    journal.show(7, shades, 2)
    journal.close()
    with Image.open(tmp_path / "sheets" / "one-0000007.png") as sheet:
        pixels = np.asarray(sheet)[::2, ::3, 0]
    assert pixels.tolist() == [[0, 64], [128, 191], [255, 255]]  # what is left over is white


# Where a run came from


def test_origin_and_recipe_are_kept_with_the_run(train_s2s, tiny_recipe, tiny_data):
    run = train_s2s("audio-encoder.plan.steps=2", "seed=5")
    origin = json.loads((run / "origin.json").read_text())
    for kind in ("photos", "sounds"):
        digest = hashlib.sha256()
        with tarfile.open(tiny_data / kind / "train-000.tar") as archive:
            for entry in archive:
                digest.update(f"{entry.name}\t{entry.size}\n".encode())
        assert origin["data"][kind] == digest.hexdigest()
    assert origin["s2s"] == s2s_cli.__version__
    assert origin["torch"] == torch.__version__
    kept = recipe_of(json.loads((run / "recipe.json").read_text()))
    assert kept == read_recipe(tiny_recipe, ["audio-encoder.plan.steps=2", "seed=5"])
    assert kept.data.pairs_by == "scene"  # what the file leaves out, too


def git(folder, *words):
    who = ["-c", "user.name=x", "-c", "user.email=x"]
    said = subprocess.run(
        ["git", "-C", folder, *who, *words], capture_output=True, text=True, check=True
    )
    return said.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="asks git itself")
def test_origin_names_the_commit_and_whether_it_was_changed(tmp_path, monkeypatch):
    from s2s_cli.training.curriculum import origin_of

    package = tmp_path / "s2s_cli"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(s2s_cli, "__file__", str(package / "__init__.py"))
    assert origin_of([], [])["git"] is None  # in nobody's checkout
    git(tmp_path, "init", "-q")
    assert origin_of([], [])["git"] is None  # in a checkout of something else
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert origin_of([], [])["git"] == {"commit": commit, "changed": False}
    (package / "__init__.py").write_text("changed = True")
    assert origin_of([], [])["git"] == {"commit": commit, "changed": True}


# How far it has come


def test_progress_is_told_while_a_run_goes_on(tiny_recipe, tiny_data, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "EVERY", 1)
    recipe, told = read_recipe(tiny_recipe), []

    def watch(stage, steps, done):
        def step(measures):
            if stage == "autoencoder":
                told.append(progress_of(tmp_path))

        return step

    curriculum = curriculum_of(
        recipe, str(tiny_data), tmp_path, device=torch.device("cpu"), watch=watch
    )
    curriculum.learn()
    assert len(told) == 6
    for taken, stages in enumerate(told):  # each told before this step is
        assert [stage.stage for stage in stages] == list(recipe.stages)
        states = [stage.state for stage in stages]
        assert states == ["done", "running" if taken else "waiting", "waiting", "waiting"]
        assert [stage.step for stage in stages] == [6, taken, 0, 0]
        assert {stage.steps for stage in stages} == {6}
        running = stages[1]
        if taken:
            assert running.measures.keys() == {"loss", "psnr_db"}
            left = (6 - taken) * 4 / running.per_second  # of batches of four
            assert running.seconds_left == pytest.approx(left)
            assert 0 <= running.seconds_ago < 60
        assert stages[0].seconds_left is stages[0].seconds_ago is None
    assert {stage.state for stage in progress_of(tmp_path)} == {"done"}


def test_who_told_nothing_for_long_has_stopped(tiny_recipe, tiny_data, tmp_path, s2s):
    run = tmp_path / "run"
    words = ["train", tiny_recipe, "--data", tiny_data, "-o", run]
    s2s(*words, "--time-budget", "0.001s")
    now = time.time()
    for ago, state in ((60, "running"), (599, "running"), (700, "stopped")):
        entry = {"stage": "image-encoder", "step": 1, "loss": 2.0, "per_second": 4.0}
        entry |= {"seconds": 1, "time": now - ago}
        (run / "log.jsonl").write_text(json.dumps(entry) + "\n")
        stage = progress_of(run)[0]
        assert stage.state == state
        assert stage.seconds_ago == pytest.approx(ago, abs=30)
        assert stage.seconds_left == (5 * 8 / 4.0 if state == "running" else None)


@pytest.mark.parametrize("content", [None, "", "no json", '{"name": "x"}', '{"nam": 1}'])
def test_a_folder_without_a_run_has_no_progress(tmp_path, content):
    if content is not None:
        (tmp_path / "recipe.json").write_text(content)
    with pytest.raises(RecipeError, match=r"holds no run that can be read: give the folder"):
        progress_of(tmp_path)
