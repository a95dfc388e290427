"""``s2s train`` as it is steered: looked at beforehand, meanwhile and afterwards, and mended."""

import errno
import io
import json
import os
import resource
import shutil
import tarfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
import torch
import typer
from conftest import TINY_RECIPE, add_to_tar
from PIL import Image
from safetensors.torch import load_file

from s2s_cli import registry
from s2s_cli.commands.train import seconds_of
from s2s_cli.data.shards import find_shards, load_photos
from s2s_cli.networks.biggan import BigGAN
from s2s_cli.networks.config import to_table
from s2s_cli.networks.image_encoder import ImageEncoder, ImageEncoderConfig
from s2s_cli.networks.layers import ResNetConfig
from s2s_cli.picture import image
from s2s_cli.training import loop
from s2s_cli.training.curriculum import curriculum_of
from s2s_cli.training.journal import progress_of
from s2s_cli.training.recipe import read_recipe
from s2s_cli.training.state import State
from s2s_cli.training.steps import encode_photos

EXAMPLES = Path(__file__).parents[2] / "examples"
STAGES = ["image-encoder", "autoencoder", "generator", "audio-encoder"]
FILES = ["audio_encoder.safetensors", "generator.safetensors", "image_encoder.safetensors"]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, tiny_data):
    """The weights that the tiny recipe ends in."""
    folder = tmp_path_factory.mktemp("unbroken")
    (folder / "recipe.toml").write_text(TINY_RECIPE)
    curriculum_of(
        read_recipe(folder / "recipe.toml"), str(tiny_data), folder, device=torch.device("cpu"),
        watch=lambda *_: lambda _: None,
    ).learn()  # fmt: skip
    return weights(folder)


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def train(s2s, tiny_recipe, tiny_data, run):
    """Train the tiny recipe on the tiny data, with these words."""

    def train(*words, data=tiny_data):
        return s2s("train", tiny_recipe, "--data", data, "-o", run, *words)

    return train


@pytest.fixture
def sound2scene(biggan_model):
    """Networks under the name of the published ones, small but for their features."""
    folder = registry.user_dir() / "sound2scene"
    resnet = ResNetConfig(block="bottleneck", depths=(1, 1, 1, 1), widths=(8, 8, 8, 512))
    small = registry.load_network(biggan_model / registry.GENERATOR).config
    for name, network in (
        (registry.IMAGE_ENCODER, ImageEncoder(ImageEncoderConfig(resnet))),
        (registry.GENERATOR, BigGAN(replace(small, features=2048))),
    ):
        registry.save_network(folder / name, network, dtype="float16")


def weights(run):
    return [(run / "model" / name).read_bytes() for name in FILES]


def contents(folder):
    """Everything below a folder, files with their bytes."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def drafts(folder):
    return [path.name for path in folder.rglob(".*")]


# Beforehand


def test_a_dry_run_counts_and_writes_nothing(s2s, tiny_recipe, tiny_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    said = s2s("train", tiny_recipe, "--data", tiny_data, "--dry-run")
    assert said.code == 0
    assert said.lines[:2] == ["photos\t16", "sounds\t12"]
    assert [line.split("\t")[0] for line in said.lines[2:]] == [*STAGES, "run"]
    assert said.lines[2].split("\t")[1:3] == ["6 steps of 8", "learning rate 0.001"]
    assert {line.split("\t")[-1] for line in said.lines[2:-1]} == {"to be learned"}
    assert said.lines[-1] == f"run\t{Path('runs') / 'tiny'}"
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "stage", "published"),
    [
        # A ResNet-18 of one channel, 11.17 million, and a layer of 512 x 2048.
        ("sound2scene/paper", "audio-encoder", "12.22 million weights"),
        # 77,160,132 in the published file, of which 128,000 embed classes that are never told.
        ("icgan/128", "generator", "77.03 million weights"),
        ("icgan/128", "audio-encoder", "12.22 million weights"),
    ],
)
def test_a_dry_run_knows_the_published_sizes(s2s, tiny_data, sound2scene, name, stage, published):
    said = s2s(
        "train", EXAMPLES / f"{name}.toml", "--data", tiny_data, "--dry-run",
        "--set", "data.photos=photos/*.tar", "--set", "data.sounds=sounds/*.tar",
        "--set", "data.validation-photos=photos/*.tar",
        "--set", "data.validation-sounds=sounds/*.tar", "--set", "data.pairs-by=scene",
    )  # fmt: skip
    assert said.code == 0, said.err
    (row,) = (line for line in said.lines if line.startswith(f"{stage}\t"))
    assert published in row.split("\t")


def test_a_dry_run_tells_programs_the_whole_recipe_and_what_is_done(
    train, tiny_recipe, run, s2s, tiny_data
):
    train("--stage", "image-encoder")
    train("--stage", "autoencoder", "--time-budget", "0.001s")
    before = contents(run)
    said = train("--dry-run", "--json")
    told = json.loads(said.out)
    assert told["run"] == str(run)
    assert told["data"] == {"photos": 16, "sounds": 12}
    assert [(stage["stage"], stage["state"]) for stage in told["stages"]] == [
        ("image-encoder", "done"), ("autoencoder", "begun"),
        ("generator", "to be learned"), ("audio-encoder", "to be learned"),
    ]  # fmt: skip
    assert told["recipe"] == json.loads(json.dumps(to_table(read_recipe(tiny_recipe))))
    assert contents(run) == before


def test_a_dry_run_without_data_is_a_sentence(train, tmp_path):
    said = train("--dry-run", data=tmp_path / "nowhere")
    assert (said.code, said.out) == (1, "")
    assert "nowhere/photos/train-*.tar: give the data's folder with --data." in said.err


# Meanwhile


def test_status_is_told_while_it_goes_on_and_afterwards(s2s, train, run, monkeypatch):
    monkeypatch.setattr(loop, "EVERY", 1)
    finish_step = State.finish_step

    def killed_after_two(self):
        if self.step == 2:
            raise KeyboardInterrupt  # of all ways to end, one that leaves no word
        finish_step(self)

    with monkeypatch.context() as patch:
        patch.setattr(State, "finish_step", killed_after_two)
        assert train().code == 130
    lines = [line.split("\t") for line in s2s("train", "--status", run).lines]
    assert [(line[0], line[1], line[2]) for line in lines] == [
        ("image-encoder", "2 of 6 steps", "running"),
        *((stage, "0 of 6 steps", "waiting") for stage in STAGES[1:]),
    ]
    assert any(word.startswith("loss ") for word in lines[0])
    assert any(word.endswith(" left") for word in lines[0])
    assert any(word.endswith(" ago") for word in lines[0])
    train()
    lines = [line.split("\t") for line in s2s("train", "--status", run).lines]
    assert [line[:3] for line in lines] == [[stage, "6 of 6 steps", "done"] for stage in STAGES]

    told = [json.loads(line) for line in s2s("train", "--status", run, "--json").lines]
    last = {}
    for line in (run / "log.jsonl").open():
        entry = json.loads(line)
        last[entry["stage"]] = entry
    for stage in told:
        entry = last[stage["stage"]]
        assert (stage["state"], stage["step"], stage["steps"]) == ("done", 6, 6)
        assert stage["per_second"] == entry["per_second"]
        assert stage["measures"]["loss"] == entry["loss"]
        assert stage["seconds_left"] is stage["seconds_ago"] is None


def test_the_status_of_a_run_whose_time_was_over_is_stopped_and_says_how_to_go_on(
    s2s, train, run, monkeypatch
):
    """At once, and before the first entry that would be due."""
    assert train("--time-budget", "0.001s").code == 0
    said = s2s("train", "--status", run)
    first, *others = (line.split("\t") for line in said.lines)
    assert first[:3] == ["image-encoder", "1 of 6 steps", "stopped"]
    assert any(word.startswith("loss ") for word in first)
    assert not any(word.endswith(" left") for word in first)
    assert {line[2] for line in others} == {"waiting"}
    assert said.err == "Stage image-encoder was stopped: the same s2s train command goes on.\n"
    told = [json.loads(line) for line in s2s("train", "--status", run, "--json").lines]
    assert [stage["state"] for stage in told] == ["stopped", *["waiting"] * 3]
    assert "stopped" not in told[0]["measures"]

    states, finish_step = [], State.finish_step

    def look(self):
        states.append(progress_of(run)[0].state)
        finish_step(self)

    monkeypatch.setattr(State, "finish_step", look)
    assert train("--stage", "image-encoder").code == 0
    assert states == ["running"] * 5  # it is no more than a moment since it told something
    assert s2s("train", "--status", run).err == ""


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_the_status_of_no_run_is_a_sentence(s2s, tmp_path, json):
    said = s2s("train", "--status", tmp_path, *json)
    assert (said.code, said.out) == (1, "")
    assert f"{tmp_path} holds no run that can be read: give the folder that" in said.err
    assert said.err.count("\n") == 1


def test_neither_recipe_nor_run_is_wrong_usage(s2s):
    said = s2s("train")
    assert said.code == 2
    assert "name a recipe, or a run with --status." in said.err


# Stage by stage


def test_stages_learned_one_by_one_give_the_very_same_model(train, run, unbroken):
    for stage in STAGES[:-1]:
        said = train("--stage", stage)
        assert (said.code, said.out) == (0, "")
        assert f"Stage {stage} is done; {run} waits for the others." in said.err
        assert not (run / "model").exists()
    said = train("--stage", "audio-encoder")
    assert (said.code, said.lines) == (0, [str(run / "model")])
    assert weights(run) == unbroken
    assert train("--stage", "generator").lines == [str(run / "model")]  # nothing left to learn


def test_a_stage_that_builds_on_another_one_names_it(train, run):
    for stage, missing in (
        ("audio-encoder", "image-encoder"), ("generator", "image-encoder"), (None, None),
        ("generator", "autoencoder"),
    ):  # fmt: skip
        if stage is None:
            assert train("--stage", "image-encoder").code == 0
            continue
        said = train("--stage", stage)
        assert (said.code, said.out) == (1, "")
        assert (
            f"Stage {stage} builds on stage {missing}, which {run} does not hold: train that "
            f"first, with --stage {missing}."
        ) in said.err
        assert not (run / f"{stage}.checkpoint").exists()


def test_an_unknown_stage_is_wrong_usage(train, run, tiny_recipe):
    said = train("--stage", "generater")
    assert said.code == 2
    assert f"'generater' is no stage of {tiny_recipe}: it has {', '.join(STAGES)}." in said.err
    assert not run.exists()


# Settings


def test_settings_are_changed_from_the_command_line(train, run):
    """The last one wins, at any depth, however names are spelt."""
    said = train(
        "--stage", "image-encoder", "--set", "image-encoder.plan.steps=5",
        "--set", "image_encoder.plan.steps=2", "--set", "image-encoder.network.resnet.block=basic",
        "--set", "image-encoder.network.resnet.widths=[8, 8, 8, 16]",
    )  # fmt: skip
    assert said.code == 0
    (entry,) = map(json.loads, (run / "log.jsonl").open())
    assert entry["step"] == 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("generator.plan.stesp=4", "generator.plan.stesp is unknown. Did you mean 'steps'?\n"),
        ("generator.plan.steps=four", "generator.plan.steps = 'four' must be a whole number.\n"),
        ("generator.plan.steps", "must be like generator.plan.steps=500.\n"),
    ],
)
def test_a_setting_that_does_not_fit_is_a_sentence(train, run, change, sentence):
    said = train("--set", change)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("error: The recipe ")
    assert said.err.endswith(sentence)
    assert not run.exists()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("25m", 1500), ("3h", 10_800), ("1.5h", 5400), (None, float("inf"))],
)
def test_a_budget_is_a_time(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["soon", "5", "m", "", "5 m", "-5m", "5M", "1e3s", "infs", "5m3s"])
def test_what_is_no_time_is_wrong_usage(s2s, tiny_recipe, text):
    with pytest.raises(typer.BadParameter, match="is no time: write 90s, 25m or 3h"):
        seconds_of(text)
    assert s2s("train", tiny_recipe, f"--time-budget={text}").code == 2


def test_a_budget_that_is_over_says_so_and_gives_no_model(train, run):
    said = train("--time-budget", "0.001s")
    assert (said.code, said.out) == (0, "")
    assert f"The time is over; the same command goes on from {run}." in said.err


# Another recipe, other data


def test_with_resume_a_changed_recipe_goes_on_where_the_old_one_was(
    train, run, tiny_recipe, unbroken
):
    train("--time-budget", "0.001s")
    kept = torch.load(run / "image-encoder.checkpoint", weights_only=True)
    changed = ("--set", "image-encoder.plan.learning-rate=1e-4")
    said = train(*changed)
    assert said.code == 1
    assert f"{run} holds a run of another recipe" in said.err
    assert torch.load(run / "image-encoder.checkpoint", weights_only=True)["step"] == kept["step"]

    said = train(*changed, "--resume", "--time-budget", "0.001s")
    assert said.code == 0
    state = torch.load(run / "image-encoder.checkpoint", weights_only=True)
    assert state["step"] == kept["step"] + 1 == 2
    rates = [group["lr"] for group in state["optimisers"]["network"]["param_groups"]]
    assert rates[0] < 1e-4  # warmed up from the new one
    told = json.loads((run / "recipe.json").read_text())
    assert told["image_encoder"]["plan"]["learning_rate"] == 1e-4

    assert train(*changed).code == 0  # it is the run's own recipe now
    assert weights(run) != unbroken
    assert train().code == 1


def test_other_data_is_refused_and_the_same_elsewhere_is_not(
    train, run, tiny_data, tmp_path, unbroken
):
    train("--stage", "image-encoder")
    fewer = tmp_path / "fewer"
    shutil.copytree(tiny_data, fewer)
    with (
        tarfile.open(tiny_data / "sounds" / "train-000.tar") as all_of_them,
        tarfile.open(fewer / "sounds" / "train-000.tar", "w") as archive,
    ):
        for entry in all_of_them.getmembers()[1:]:
            add_to_tar(archive, entry.name, all_of_them.extractfile(entry).read())
    before = contents(run)
    said = train(data=fewer)
    assert said.code == 1
    assert f"{run} holds a run on other data: give the same with --data" in said.err
    assert contents(run) == before

    same = shutil.copytree(tiny_data, tmp_path / "same")
    assert train(data=same).code == 0
    assert weights(run) == unbroken
    assert train(data=fewer).code == 1
    origin = json.loads((run / "origin.json").read_text())["data"]
    assert train("--resume", data=fewer).code == 0
    resumed = json.loads((run / "origin.json").read_text())["data"]
    assert resumed["photos"] == origin["photos"]
    assert resumed["sounds"] != origin["sounds"]


def test_with_resume_other_photos_are_seen_anew(train, run, tiny_data, tmp_path):
    """As many as before, of the same names, and another encoder's features are none of them."""
    words = ["--set", "audio-encoder.closeness=1"]
    assert train(*words).code == 0
    kept = run / "features" / "photos.safetensors"

    def seen(data, share=1.0):
        encoder = registry.load_network(run / "image_encoder.safetensors")
        return encode_photos(encoder, load_photos(find_shards(data, "photos/*.tar"), 40), share)

    def agrees(data, name="photos", share=1.0):
        path = run / "features" / f"{name}.safetensors"
        return torch.allclose(load_file(path)["features"], seen(data, share), atol=1e-4)

    assert agrees(tiny_data)
    before = kept.read_bytes(), kept.stat().st_mtime_ns
    (run / "audio_encoder.safetensors").unlink()
    assert train(*words).code == 0
    assert (kept.read_bytes(), kept.stat().st_mtime_ns) == before  # kept where nothing changed

    other = shutil.copytree(tiny_data, tmp_path / "other")
    with (
        tarfile.open(tiny_data / "photos" / "train-000.tar") as archive,
        tarfile.open(other / "photos" / "train-000.tar", "w") as darker,
    ):
        for entry in archive:
            file = io.BytesIO()
            with Image.open(archive.extractfile(entry)) as photo:
                photo.point(lambda shade: shade // 3).save(file, "JPEG")
            add_to_tar(darker, entry.name, file.getvalue())
    (run / "audio_encoder.safetensors").unlink()
    assert train(*words, "--resume", data=other).code == 0
    assert agrees(other)
    assert not agrees(tiny_data)

    # Of another encoder, and of other middles; and where the file is damaged.
    assert agrees(other, "photos-near", 0.55)
    (run / "audio_encoder.safetensors").unlink()
    words += ["--set", "audio-encoder.close-crop=0.3"]
    assert train(*words, "--resume", data=other).code == 0
    assert agrees(other, "photos-near", 0.3)
    for file in ("audio_encoder.safetensors", "image_encoder.safetensors"):
        (run / file).unlink()
    (run / "image-encoder.checkpoint").unlink()
    assert train(*words, "--set", "seed=1", "--resume", data=other).code == 0
    assert agrees(other)
    (run / "audio_encoder.safetensors").unlink()
    kept.write_bytes(kept.read_bytes()[:100])
    assert train(*words, "--set", "seed=1", data=other).code == 0
    assert agrees(other)


def test_a_run_of_an_older_s2s_that_knew_fewer_settings_goes_on(train, run, unbroken):
    """What it did not know is as it was then: the default."""
    train("--time-budget", "0.001s")
    kept = run / "recipe.json"
    table = json.loads(kept.read_text())
    for stage in STAGES:
        del table[stage.replace("-", "_")]["plan"]["precision"]
    kept.write_text(json.dumps(table))
    assert train().code == 0
    assert weights(run) == unbroken


# What goes wrong meanwhile


@contextmanager
def files_no_longer_than(length: int):
    """As on a disk that is full but for so many bytes; the system itself says so."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


def test_a_disk_that_takes_no_checkpoint_keeps_the_last_one(train, run, unbroken):
    train("--time-budget", "0.001s")
    checkpoint = run / "image-encoder.checkpoint"
    before = checkpoint.read_bytes()
    with files_no_longer_than(len(before) - 1000):
        said = train()
    assert (said.code, said.out) == (1, "")
    assert f"error: Cannot write '{checkpoint}': File too large" in said.err
    assert checkpoint.read_bytes() == before
    assert drafts(run) == []
    assert train().code == 0
    assert weights(run) == unbroken


def test_a_full_disk_says_so_at_whichever_file_it_is(train, run, unbroken, monkeypatch):
    """Each new file in its turn is the one for which no room is left."""
    sync, left = os.fsync, 0

    def fsync(file):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    monkeypatch.setattr(image, "os", type("os", (), {**vars(os), "fsync": staticmethod(fsync)}))
    failed = []
    for room in (0, 1, 2, 3, 4, 7):
        left = room
        said = train()
        assert (said.code, said.out) == (1, "")
        assert "the disk is full, so free some space and run the command again." in said.err
        failed.append(said.err.split("'")[1].removeprefix(f"{run}/"))
        assert drafts(run) == []
    assert failed[:4] == ["origin.json", "recipe.json", "log.jsonl", "image-encoder.checkpoint"]
    left = 1000
    assert train().code == 0
    assert weights(run) == unbroken


def test_a_shard_that_goes_missing_is_a_sentence_and_the_run_goes_on_later(
    train, run, tiny_data, tmp_path, unbroken, monkeypatch
):
    """Nothing is kept decoded, so that it is missed at once."""
    data = shutil.copytree(tiny_data, tmp_path / "data")
    shard, away = data / "photos" / "train-000.tar", tmp_path / "away.tar"
    words = ["--set", "data.memory-gb=0", "--set", "image-encoder.plan.checkpoint-every=1"]
    finish_step = State.finish_step

    def finish_and_lose(self):
        finish_step(self)
        if self.step == 2 and not away.exists():
            shard.rename(away)

    monkeypatch.setattr(State, "finish_step", finish_and_lose)
    said = train(*words, data=data)
    assert (said.code, said.out) == (1, "")
    assert f"error: The shard {shard} cannot be read" in said.err
    assert said.err.endswith(": fetch it again.\n")
    assert torch.load(run / "image-encoder.checkpoint", weights_only=True)["step"] >= 2
    assert not (run / "image_encoder.safetensors").exists()

    said = train(*words, data=data)  # it is still away
    assert said.code == 1
    assert f"There are no shards {data}/photos/train-*.tar" in said.err
    shard.write_bytes(away.read_bytes())
    assert train(*words, data=data).code == 0
    assert weights(run) == unbroken


# Data behind a URL


@pytest.mark.parametrize("protocol", ["memory", "file"])
def test_shards_behind_a_url_are_the_same_shards(train, run, tiny_data, unbroken, protocol):
    url = f"file://{tiny_data}"
    if protocol == "memory":
        url = "memory://s2s-tests/data"
        files = fsspec.filesystem("memory")
        for path in tiny_data.rglob("*.tar"):
            files.pipe(f"{url}/{path.relative_to(tiny_data)}", path.read_bytes())
    said = train("--dry-run", data=url)
    assert said.lines[:2] == ["photos\t16", "sounds\t12"]
    assert train("--time-budget", "0.001s", data=url).code == 0
    assert train().code == 0  # from the disk, because it is the same data
    assert weights(run) == unbroken
    shutil.rmtree(run)
    assert train(data=url).code == 0
    assert weights(run) == unbroken
    assert (
        str(tiny_data) not in (run / "origin.json").read_text()
    )  # where it lay is nobody's matter


def test_a_url_that_nothing_opens_is_a_sentence(train):
    said = train(data="nowhere://data")
    assert said.code == 1
    assert "nowhere://data/photos/train-*.tar cannot be listed" in said.err
