"""The recipes in examples/ differ as the papers' tables say, and each takes a step to a model."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from recipes import difference
from torch import Tensor

from s2s_cli import registry
from s2s_cli.audio.spectrogram import FRONT_ENDS
from s2s_cli.data.samples import SAMPLE_RATE, SHARD_END, sample_files
from s2s_cli.data.shards import find_shards, load_photos, load_sounds
from s2s_cli.training import steps
from s2s_cli.training.recipe import read_recipe

EXAMPLES = Path(__file__).parents[2] / "examples"

# What each row of Table 2 changes beside its name; (F) is paper.toml itself.
ROWS: dict[str, dict[str, Any]] = {
    "paper": {},  # (F)
    "l2": {"audio_encoder.loss": "l2"},  # (A)
    "nce": {"audio_encoder.loss": "nce"},  # (B)
    "middle": {},  # (C)
    "1s": {"audio_encoder.network.seconds": 1.0},  # (D)
    "5s": {"audio_encoder.network.seconds": 5.0},  # (E)
}
FOLDERS = {"middle": "middle/", "1s": "1s/", "5s": "5s/"}  # of those that are of other pairs
PAIRS = {"": 7, "middle/": 6, "1s/": 5, "5s/": 4}  # so that one folder is not taken for another
SECONDS = {"": 10.0, "middle/": 10.0, "1s/": 1.0, "5s/": 5.0}
UNHEARD = 4  # pairs to validate with

# Tables 3 and 4 of the second paper, and what its authors' code does otherwise.
STYLES: dict[str, dict[str, Any]] = {
    "cycle": {
        "stylizer.structure": "cycle",
        "stylizer.structure_weight": 10.0,
        "stylizer.identity_weight": 5.0,
    },
    "late-fusion": {"stylizer.critic.fusion": "late"},
    "no-identity": {"stylizer.identity_weight": 0.0},
    "official": {"stylizer.window": "first"},
    "pretrained": {
        "stylizer.audio_from": "pocket",
        "stylizer.network.features": 192,
        "stylizer.audio.features": 192,
        "stylizer.audio.front_end": "mel",
        "stylizer.audio.peak": 0.0,
        "stylizer.audio.resnet.stem_padding": 3,
        "stylizer.audio.resnet.widths": (24, 48, 96, 192),
    },
}


def said_otherwise(name: str, paper: str) -> dict[str, Any]:
    """What a recipe of examples/ says otherwise than another one."""
    return difference(*(read_recipe(EXAMPLES / f"{each}.toml") for each in (name, paper)))


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_table_2_differs_in_nothing_else(row):
    wanted = dict(ROWS[row])
    if row != "paper":
        wanted["name"] = f"sound2scene-{row}"
    if folder := FOLDERS.get(row):
        for kind in ("photos", "sounds"):
            wanted[f"data.{kind}"] = f"{folder}train-*.tar"
            wanted[f"data.validation_{kind}"] = f"{folder}val-*.tar"
    assert said_otherwise(f"sound2scene/{row}", "sound2scene/paper") == wanted


@pytest.mark.parametrize("name", STYLES)
def test_an_ablation_of_the_second_paper_differs_in_nothing_else(name):
    wanted = {"name": f"avstyle-{name}", **STYLES[name]}
    assert said_otherwise(f"avstyle/{name}", "avstyle/paper") == wanted


def test_256_px_are_a_block_more_and_four_parts():
    assert said_otherwise("icgan/256", "icgan/128") == {
        "name": "icgan-256",
        "data.photo_px": 256,
        "generator.plan.parts": 4,
        "generator.network.multipliers": (16, 16, 8, 8, 4, 2, 1),
        "generator.network.slot": 17,
        "generator.critic.multipliers": (1, 2, 4, 8, 8, 16, 16),
    }


def test_every_recipe_is_looked_at_here():
    known = {f"sound2scene/{row}" for row in ROWS} | {f"avstyle/{name}" for name in STYLES}
    known |= {"avstyle/paper", "icgan/128", "icgan/256", "icgan/small"}
    known.add("fine_tune")  # in test_beginnings.py
    found = {path.relative_to(EXAMPLES).with_suffix("") for path in EXAMPLES.rglob("*.toml")}
    assert found == {Path(name) for name in known}


# One step of each, at the size of a tiny network


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    """Shards as ``s2s pairs`` writes them: a shade and a tone that go together, in noise."""
    root, chance = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    for folder, count in PAIRS.items():
        (root / folder).mkdir(exist_ok=True)
        for split, number in (("train", count), ("val", UNHEARD)):
            samples = []
            for key in range(number):
                colour = chance.integers(0, 255, 3)
                frame = (colour + chance.integers(-20, 20, (40, 40, 3))).clip(0, 255)
                time_s = np.arange(round(SECONDS[folder] * SAMPLE_RATE)) / SAMPLE_RATE
                wave = np.sin(2 * np.pi * 100 * 70 ** chance.uniform() * time_s)
                wave += chance.normal(0, chance.uniform(0, 0.5), len(wave))
                wave = (10_000 * wave).clip(-32_768, 32_767).astype(np.int16)
                frames = [frame.astype(np.uint8)]
                samples.append(sample_files(f"{split}/{key}", wave, frames))
            (root / folder / f"{split}-00000.tar").write_bytes(b"".join(samples) + SHARD_END)
    return root


@pytest.fixture
def sound2scene(tiny_model) -> Path:
    """Tiny networks under the name of the published ones."""
    return Path(shutil.copytree(tiny_model, registry.user_dir() / "sound2scene"))


TINY_EAR = [
    "audio-encoder.plan.steps=1",
    "audio-encoder.plan.batch=4",
    "audio-encoder.network.features=16",
    "audio-encoder.network.resnet.depths=[1, 1, 1, 1]",
    "audio-encoder.network.resnet.widths=[8, 8, 8, 16]",
]


@pytest.fixture
def train(s2s, tmp_path):
    """Train a recipe of examples/ with these settings; returns the run's folder."""

    def train(name: str, data: Path, *changes: str) -> Path:
        words = ["train", EXAMPLES / f"{name}.toml", "--data", data, "-o", tmp_path / "run", "-q"]
        words += [word for change in changes for word in ("--set", change)]
        said = s2s(*words)
        assert said.code == 0, said.err
        assert said.lines == [str(tmp_path / "run" / "model")]
        return tmp_path / "run"

    return train


def logged(run: Path, stage: str) -> dict[str, float]:
    """What the last entry of a stage says."""
    entries = [json.loads(line) for line in (run / "log.jsonl").open()]
    return [entry for entry in entries if entry["stage"] == stage][-1]


def loss_by_hand(row: str, heard: Tensor, seen: Tensor) -> float:
    """Eq. 2, or what stands in its place, pair by pair."""
    if ROWS[row].get("audio_encoder.loss") == "l2":
        return (heard - seen).square().mean().item()
    a, v = (x / x.square().sum(dim=1, keepdim=True).sqrt() for x in (heard, seen))
    cosine = ROWS[row].get("audio_encoder.loss") == "nce"

    def alike(one: Tensor, other: Tensor) -> Tensor:
        return (one @ other if cosine else -(one - other).square().sum().sqrt()).exp()

    def info_nce(own: Tensor, others: Tensor, j: int) -> float:
        return -(alike(own, others[j]) / sum(alike(own, each) for each in others)).log().item()

    return sum(info_nce(a[j], v, j) + info_nce(v[j], a, j) for j in range(len(a))) / (2 * len(a))


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_table_2_takes_a_step(row, train, pairs, sound2scene, s2s, low_wav, monkeypatch):
    """What the unheard pairs cost afterwards is what its own loss makes of its own pairs."""

    def whole(waves: list[Tensor], samples: int, chance: Any) -> Tensor:
        assert {len(wave) for wave in waves} <= {samples}  # every clip is heard from end to end
        return torch.stack([wave / 32_768 for wave in waves]) if waves else torch.empty(0, samples)

    monkeypatch.setattr(steps, "random_windows", whole)
    run = train(f"sound2scene/{row}", pairs, "data.photo-px=40", *TINY_EAR)

    shards = find_shards(pairs, f"{FOLDERS.get(row, '')}val-*.tar")
    sounds, photos = load_sounds(shards, SAMPLE_RATE), load_photos(shards, 40)
    assert sounds.keys == photos.keys
    ear = registry.load_audio_encoder(run)
    eye = registry.load_network(sound2scene / registry.IMAGE_ENCODER)
    with torch.no_grad():
        waves = torch.stack(list(sounds.waves)) / 32_768
        heard = ear(FRONT_ENDS[ear.config.front_end](waves))
        seen = eye(photos.pictures / 127.5 - 1)
    assert (heard.std(dim=0) > 1e-4).any()  # sounds differ, and so the loss hears them
    entry = logged(run, "audio-encoder")
    assert entry["validation"] == pytest.approx(loss_by_hand(row, heard, seen), rel=2e-5)
    assert ear.config.seconds == SECONDS[FOLDERS.get(row, "")]

    # The published networks beside what was learned make the model.
    for file in (registry.IMAGE_ENCODER, registry.GENERATOR):
        assert (run / "model" / file).read_bytes() == (sound2scene / file).read_bytes()
    assert s2s("generate", low_wav, "-m", run / "model", "-o", run / "out.png").code == 0
    assert s2s("models", "verify", run / "model").code == 0


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_table_2_learns_from_its_own_pairs(row, pairs, sound2scene, s2s):
    said = s2s(
        "train", EXAMPLES / f"sound2scene/{row}.toml", "--data", pairs, "--dry-run", "--json",
        "--set", "audio-encoder.network.features=16",
    )  # fmt: skip
    count = PAIRS[FOLDERS.get(row, "")]
    assert json.loads(said.out)["data"] == {"photos": count, "sounds": count}


TINY_BIGGAN = [
    "generator.plan.steps=1",
    "generator.plan.batch=4",
    "generator.network.channels=8",
    "generator.network.features=16",
    "generator.network.condition=8",
    "generator.critic.channels=8",
    "generator.critic.features=16",
    "generator.settling-batches=1",
]


@pytest.mark.parametrize(("name", "side_px"), [("icgan/128", 128), ("icgan/256", 256)])
def test_the_papers_generator_takes_a_step(
    name, side_px, train, pairs, sound2scene, s2s, low_wav, tmp_path
):
    run = train(name, pairs, *TINY_EAR, *TINY_BIGGAN)
    assert {"loss", "critic", "told_apart"} <= logged(run, "generator").keys()
    painted(run, s2s, low_wav, side_px)


def test_the_small_generator_takes_a_step_from_nothing(train, tiny_data, s2s, low_wav):
    run = train(
        "icgan/small", tiny_data, *TINY_EAR, *TINY_BIGGAN, "image-encoder.plan.steps=1",
        "image-encoder.plan.batch=4", "image-encoder.expander=16",
        "image-encoder.network.resnet.depths=[1, 1, 1, 1]",
        "image-encoder.network.resnet.widths=[8, 8, 8, 16]",
    )  # fmt: skip
    painted(run, s2s, low_wav, 64)


def painted(run: Path, s2s, sound: Path, side_px: int) -> None:
    """The finished model paints at its own size."""
    assert s2s("generate", sound, "-m", run / "model", "-o", run / "out.png").code == 0
    with Image.open(run / "out.png") as picture:
        assert picture.size == (side_px, side_px)
