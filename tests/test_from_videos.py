"""From a folder of videos to models that paint, restyle and choose frames, by commands alone.

``S2S_TEST_VIDEOS=DIR`` takes these steps with videos of your own besides.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_RECIPE
from made_videos import make_videos
from PIL import Image

PX, SECONDS = 40, 2.0
BY_MOMENT = """
photos = "train-*.tar"
sounds = "train-*.tar"
validation-photos = "val-*.tar"
validation-sounds = "val-*.tar"
pairs-by = "key"
"""
PAINTER = (
    TINY_RECIPE.replace("[data]", f"[data]{BY_MOMENT}")
    + """
[audio-encoder]
photos-per-sound = 1
"""
)
LONGER = (
    "--set", "audio-encoder.plan.validate-every=10",
    "--set", "audio-encoder.plan.steps=30",
    "--set", "generator.plan.steps=30",
    "--set", "generator.plan.learning-rate=1e-2",
)  # fmt: skip
# The paper's generator in place of the flow.
BIGGAN = (
    PAINTER[: PAINTER.index("[autoencoder.plan]")]
    + """
[generator]
family = "biggan"
neighbours = 4
settling-batches = 1
diffaugment = ["translation"]
[generator.plan]
steps = 3
batch = 4
learning-rate = 1e-3
[generator.network]
channels = 8
multipliers = [2, 2, 1, 1]
attention-px = [16]
slot = 4
features = 16
condition = 8
[generator.critic]
channels = 8
multipliers = [1, 1, 2, 2]
attention-px = [16]
features = 16
"""
    + PAINTER[PAINTER.index("[audio-encoder.plan]") :]
)
HEARING = """
front-end = "loudness"
seconds = 1.0
relu = false
[{table}.resnet]
depths = [1, 1, 1, 1]
widths = [8, 8, 8, 16]
in-channels = 1
"""
LOCALISER = f"""
name = "localiser"
[data]
photo-px = 40
{BY_MOMENT}
[localiser.plan]
steps = 3
batch = 4
learning-rate = 1e-3
[localiser.network.image]
squash-px = 0
picture-px = 32
[localiser.network.image.resnet]
depths = [1, 1]
widths = [8, 8]
[localiser.network.audio]
features = 8
{HEARING.format(table="localiser.network.audio")}
"""
STYLIZER = f"""
name = "style"
[data]
photo-px = 40
{BY_MOMENT}
[stylizer]
crop-px = 32
patches = 8
head-width = 8
[stylizer.plan]
steps = 3
batch = 2
learning-rate = 1e-3
[stylizer.network]
features = 8
down = [8, 8, 16]
blocks = 2
up = [8, 8]
fusion = "modulated"
[stylizer.critic]
widths = [8, 8, 8, 16]
[stylizer.audio]
features = 8
{HEARING.format(table="stylizer.audio")}
"""


@pytest.fixture(scope="module", params=["made", "own"])
def videos(request, tmp_path_factory) -> Path:
    if request.param == "own":
        if "S2S_TEST_VIDEOS" not in os.environ:
            pytest.skip("S2S_TEST_VIDEOS names no folder")
        return Path(os.environ["S2S_TEST_VIDEOS"])
    folder = tmp_path_factory.mktemp("videos")
    for number, video in enumerate(make_videos(12, side_px=PX, seconds=SECONDS)):
        ending = ("mp4", "mkv", "mov")[number % 3]
        (folder / video.shape).mkdir(exist_ok=True)
        video.write(folder / video.shape / f"{number}.{ending}")
    return folder


@pytest.fixture
def learn(s2s, tmp_path):
    """A recipe's model."""

    def learn(text: str, data: Path, *more: str) -> Path:
        recipe = tmp_path / "recipe.toml"
        recipe.write_text(text)
        run = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        said = s2s("train", recipe, "--data", data, "-o", run, "-q", *more)
        assert (said.code, said.lines) == (0, [str(run / "model")]), said.err
        return run / "model"

    return learn


@pytest.fixture
def pair(s2s, videos, tmp_path):
    """Shards of the videos, and what the report says of them."""

    def pair(name: str, *more: object) -> tuple[Path, dict]:
        words = ("--seconds", 1, "--stretch", SECONDS, "--size", PX, "--val-share", 0.3)
        said = s2s("pairs", videos, "-o", tmp_path / name, "--workers", 1, "-q", *words, *more)
        assert said.code == 0, said.err
        return tmp_path / name, json.loads((tmp_path / name / "report.json").read_text())

    return pair


def test_videos_become_models(s2s, pair, learn, low_wav, high_wav, tmp_path):
    middles, report = pair("middles", "--select", "middle")
    assert report["videos_used"] >= 0.9 * report["videos"]
    assert report["samples"].keys() == {"train", "val"}

    localiser = learn(LOCALISER, middles)
    data, chosen = pair("chosen", "--localiser", localiser)
    assert chosen["samples"].keys() == {"train", "val"}

    for number, text in enumerate((PAINTER, BIGGAN)):
        model = learn(text, data, *LONGER)
        out = tmp_path / f"{number}"
        said = s2s("generate", low_wav, high_wav, "-m", model, "-n", 2, "-o", out, "-q")
        assert said.code == 0, said.err
        pictures = [np.asarray(Image.open(path)) for path in said.lines]
        assert len(pictures) == 4
        assert {picture.shape for picture in pictures} == {(32, 32, 3)}
        assert all(picture.std() > 1 for picture in pictures)
        assert len({picture.tobytes() for picture in pictures}) == 4

    model, photo = learn(STYLIZER, data), tmp_path / "photo.png"
    Image.fromarray(pictures[0]).resize((48, 64)).save(photo)
    said = s2s("stylize", photo, low_wav, "-m", model, "-o", tmp_path / "restyled.png")
    assert said.code == 0, said.err
    assert Image.open(tmp_path / "restyled.png").size == (48, 64)
