"""A localiser compares every place of a picture with a sound."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import TINY_RESNET, randomise

from s2s_cli import registry
from s2s_cli.networks.audio_encoder import AudioEncoder, AudioEncoderConfig
from s2s_cli.networks.image_encoder import ImageEncoder, ImageEncoderConfig
from s2s_cli.networks.localiser import (
    Localiser,
    LocaliserConfig,
    background,
    response,
)

CONFIG = LocaliserConfig(
    ImageEncoderConfig(TINY_RESNET, squash_px=0, picture_px=64),
    AudioEncoderConfig(
        replace(TINY_RESNET, in_channels=1), features=12, front_end="loudness", relu=False
    ),
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """Anything, in [-1, 1]."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def standardising(image: ImageEncoder) -> ImageEncoder:
    """The same, with statistics that change its features."""
    image.feature_mean.copy_(noise(image.features))
    image.feature_std.copy_(noise(image.features, seed=1).abs() + 0.5)
    return image


@pytest.fixture
def localiser() -> Localiser:
    localiser = randomise(Localiser(CONFIG), seed=0)
    standardising(localiser.image)
    return localiser


@pytest.mark.parametrize("size", [(64, 64), (30, 100)])
def test_places_and_sounds_are_unit_vectors_of_one_space(localiser, size):
    maps, heard = localiser.maps(noise(2, 3, *size)), localiser.hear(noise(2, 257, 51))
    assert maps.shape == (2, 12, 2, 2)
    assert heard.shape == (2, 12)
    torch.testing.assert_close(maps.norm(dim=1), torch.ones(2, 2, 2))
    torch.testing.assert_close(heard.norm(dim=1), torch.ones(2))


def test_similarity_is_the_cosine_of_a_place_and_its_own_sound(localiser):
    pictures, spectrograms = noise(3, 3, 64, 64), noise(3, 257, 51)
    similarity = localiser.similarity(pictures, spectrograms)
    image, project = localiser.image, localiser.project
    for item in range(3):
        found = image.trunk.maps(image.prepare(pictures[item : item + 1]))[-1][0]
        heard = localiser.audio(spectrograms[item : item + 1])[0]
        for y in range(2):
            for x in range(2):
                place = (found[:, y, x] - image.feature_mean) / image.feature_std
                place = project.weight[:, :, 0, 0] @ place + project.bias
                cosine = F.cosine_similarity(place, heard, dim=0)
                torch.testing.assert_close(similarity[item, y, x], cosine, atol=1e-4, rtol=0)


def test_the_score_is_what_the_similar_places_say(localiser):
    pictures, spectrograms = noise(3, 3, 64, 64), noise(3, 257, 51)
    similarity = localiser.similarity(pictures, spectrograms)
    score = localiser.score(pictures, spectrograms)
    assert score.shape == (3,)
    assert (score <= similarity.amax(dim=(1, 2)) + 1e-6).all()
    assert (score > similarity.mean(dim=(1, 2))).all()


def test_masks_are_the_papers(localiser):
    """m_ip and 1 - m_in with 0.65, 0.4 and 0.03, in double precision."""
    similarity = noise(2, 3, 4, 5).double()
    sounding = torch.sigmoid((similarity - 0.65) / 0.03)
    silent = 1 - torch.sigmoid((similarity - 0.4) / 0.03)
    for measured, mask in ((response, sounding), (background, silent)):
        expected = (mask * similarity).sum(dim=(2, 3)) / mask.sum(dim=(2, 3))
        torch.testing.assert_close(measured(similarity), expected)


def test_places_between_the_two_edges_say_little():
    similarity = torch.tensor([[0.9, 0.52], [0.55, -0.2]])
    assert response(similarity).item() == pytest.approx(0.9, abs=0.02)
    assert background(similarity).item() == pytest.approx(-0.2, abs=0.03)


@pytest.mark.parametrize("cosine", [-1.0, 0.0, 1.0])
def test_a_map_without_differences_says_its_one_value(cosine):
    """Where the mask itself is as small as 1e-24, or its complement as 1e-9."""
    flat = torch.full((3, 3), cosine, requires_grad=True)
    for measured in (response(flat), background(flat)):
        assert measured.item() == pytest.approx(cosine)
        (slope,) = torch.autograd.grad(measured, flat)
        torch.testing.assert_close(slope, torch.full((3, 3), 1 / 9))


def aligned(picture_px: int) -> tuple[ImageEncoder, AudioEncoder]:
    """Two encoders of one space."""
    config = ImageEncoderConfig(TINY_RESNET, squash_px=0, picture_px=picture_px)
    image = standardising(randomise(ImageEncoder(config), seed=0))
    audio = AudioEncoder(replace(CONFIG.audio, features=image.features))
    return image, randomise(audio, seed=1)


def test_encoders_that_share_a_space_are_a_localiser():
    """At 32 px there is one place, whose feature is the picture's own."""
    image, audio = aligned(picture_px=32)
    pictures, spectrograms = noise(4, 3, 32, 32), noise(4, 257, 51)
    localiser = Localiser.of(image, audio)
    cosines = F.cosine_similarity(image(pictures), audio(spectrograms))
    torch.testing.assert_close(localiser.similarity(pictures, spectrograms)[:, 0, 0], cosines)
    torch.testing.assert_close(localiser.score(pictures, spectrograms), cosines)
    assert not localiser.training


def test_encoders_of_different_spaces_are_none():
    image, _ = aligned(picture_px=32)
    with pytest.raises(ValueError, match="16 and 12 features"):
        Localiser.of(image, AudioEncoder(CONFIG.audio))


def test_a_localiser_is_rebuilt_from_its_file_alone(localiser, tmp_path):
    for number, whole in enumerate((localiser, Localiser.of(*aligned(picture_px=64)))):
        path = tmp_path / f"{number}.safetensors"
        registry.save_network(path, whole)
        again = registry.load_network_as(Localiser, path)
        assert again.config == whole.config
        pictures, spectrograms = noise(2, 3, 64, 64), noise(2, 257, 51)
        score = whole.score(pictures, spectrograms)
        torch.testing.assert_close(again.score(pictures, spectrograms), score)


def test_the_published_size():
    """Two ResNet-18 trunks without classifiers, 11.18 M and 11.17 M, and our two projections."""
    with torch.device("meta"):
        localiser = Localiser(LocaliserConfig())
    count = sum(p.numel() for p in localiser.parameters())
    assert count == 11_176_512 + (11_176_512 - 2 * 64 * 49) + 2 * (512 * 512 + 512)
    pictures = torch.empty(1, 3, 224, 224, device="meta")
    assert localiser.maps(pictures).shape == (1, 512, 7, 7)
