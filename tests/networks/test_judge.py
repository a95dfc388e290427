"""The judge sees pictures of any size, and squashes them as other libraries do."""

import numpy as np
import pytest
import torch
from conftest import TINY_RESNET, randomise
from PIL import Image

from s2s_cli.networks.image_encoder import PIXEL_MEAN, PIXEL_STD, squash
from s2s_cli.networks.judge import Judge, JudgeConfig

CONFIG = JudgeConfig(("sea", "fire", "snow"), TINY_RESNET, picture_px=32)


@pytest.fixture
def judge() -> Judge:
    return randomise(Judge(CONFIG), seed=0)


def noise(*shape: int) -> torch.Tensor:
    """Pictures of nothing, in [-1, 1]."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("size", [(32, 32), (9, 200), (300, 31), (1, 1)])
def test_pictures_of_any_size_have_features_and_logits(judge, size):
    pictures = noise(2, 3, *size)
    features, logits = judge.describe(pictures), judge(pictures)
    assert features.shape == (2, judge.features) == (2, 16)
    assert logits.shape == (2, 3)
    assert features.min() >= 0
    assert torch.allclose(logits, features @ judge.head.weight.T + judge.head.bias, atol=1e-5)


def test_a_picture_is_judged_alike_alone_and_among_others(judge):
    pictures = noise(5, 3, 40, 50)
    alone = torch.cat([judge(picture[None]) for picture in pictures])
    assert torch.allclose(judge(pictures), alone, atol=1e-4)


@pytest.mark.parametrize("size", [(90, 47), (20, 33), (32, 64)])
def test_squashing_is_pillows_bilinear_resize(size):
    """Which smooths where it shrinks: else a judge would see patterns that no picture has."""
    picture = noise(1, 3, *size)
    maps = [
        Image.fromarray(map_.numpy()).resize((32, 32), Image.Resampling.BILINEAR)
        for map_ in picture[0]
    ]
    assert torch.allclose(squash(picture, 32)[0], torch.from_numpy(np.stack(maps)), atol=1e-5)


def test_a_picture_of_the_right_size_stays_as_it_is(judge):
    picture = noise(1, 3, 32, 32)
    mean, std = (np.array(values)[:, None, None] for values in (PIXEL_MEAN, PIXEL_STD))
    scaled = ((picture[0].numpy() + 1) / 2 - mean) / std
    assert np.allclose(judge.prepare(picture)[0].numpy(), scaled, atol=1e-5)


@pytest.mark.parametrize("scenes", [(), ("sea",), ("sea", "fire", "sea")])
def test_there_must_be_something_to_tell_apart(scenes):
    with pytest.raises(ValueError, match="scenes must be at least two different names"):
        JudgeConfig(scenes)


def test_a_picture_has_a_size():
    with pytest.raises(ValueError, match="picture_px = 0 must be at least 1"):
        JudgeConfig(("sea", "fire"), picture_px=0)
