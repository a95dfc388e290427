"""What judges a stylizer: sizes, what it can tell apart, and which places are compared."""

import pytest
import torch
from conftest import randomise
from torch import Tensor

from s2s_cli.networks.discriminators import (
    Connoisseur,
    PatchGAN,
    PatchGANConfig,
    StructureHead,
    StructureHeadConfig,
    draw_places,
)
from s2s_cli.networks.image_encoder import ImageEncoder, ImageEncoderConfig
from s2s_cli.networks.layers import ResNetConfig

WIDTHS = (4, 6, 8, 8)


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=chance(seed))


@pytest.fixture(params=["early", "late"])
def discriminator(request) -> PatchGAN:
    return randomise(PatchGAN(PatchGANConfig(request.param, WIDTHS)), 0)


@pytest.mark.parametrize(
    ("height", "width", "scores"), [(256, 256, (30, 30)), (128, 96, (14, 10)), (32, 32, (2, 2))]
)
def test_every_patch_has_a_score(discriminator, height, width, scores):
    judged = discriminator(drawn(2, 3, height, width), drawn(2, 257, 301))
    assert judged.shape == (2, 1, *scores)


def test_other_front_ends_with_fewer_frames_fit_too(discriminator):
    assert discriminator(drawn(1, 3, 64, 64), drawn(1, 257, 151)).isfinite().all()


def test_whether_a_sound_fits_depends_on_the_picture(discriminator):
    """A sum of a score for the picture and one for the sound could never tell pairs apart."""
    pictures, spectrograms = drawn(2, 3, 64, 64), torch.zeros(2, 257, 301)
    spectrograms[0, 20:30], spectrograms[1, 120:160] = 5, 2  # a low sound and a higher one
    right = discriminator(pictures, spectrograms)
    crossed = discriminator(pictures, spectrograms.flip(0))
    assert abs((right - crossed).mean().item()) > 1e-4


def test_the_same_places_of_two_pictures_are_described_by_unit_vectors():
    head = StructureHead(StructureHeadConfig(channels=(3, 5), width=7))
    maps = [drawn(2, 3, 9, 8), drawn(2, 5, 4, 3)]
    places = draw_places(maps, chance(), patches=20)
    described = head(maps, places)
    assert [tuple(layer.shape) for layer in described] == [(2, 20, 7), (2, 12, 7)]
    for layer in described:
        assert torch.allclose(layer.norm(dim=2), torch.ones(()))
    row, column = divmod(int(places[0][4]), 8)
    alone = head.mlps[0](maps[0][1, :, row, column])
    torch.testing.assert_close(described[0][1, 4], alone / alone.norm())


def test_places_are_drawn_once_each_and_by_the_given_chance():
    maps = [drawn(1, 3, 30, 30), drawn(1, 2, 5, 5)]
    many, few = draw_places(maps, chance())
    assert (len(many), len(few)) == (256, 25)
    assert sorted(few.tolist()) == list(range(25))
    assert len(set(many.tolist())) == 256
    assert torch.equal(many, draw_places(maps, chance())[0])
    assert not torch.equal(many, draw_places(maps, chance(1))[0])


@pytest.fixture
def encoder() -> ImageEncoder:
    """An image encoder of eight features, standardised by other than 0 and 1."""
    network = ImageEncoder(ImageEncoderConfig(ResNetConfig(widths=(4, 4, 4, 8)), 0, 32))
    randomise(network, 0)
    network.feature_mean.copy_(drawn(8, seed=1) / 10)
    network.feature_std.copy_(drawn(8, seed=2).abs() + 0.5)
    return network.eval()


def test_at_first_a_connoisseur_scores_how_well_picture_and_sound_agree(encoder):
    pictures, heard = drawn(3, 3, 32, 32).clamp(-1, 1), drawn(3, 8, seed=3)
    agreement = (encoder(pictures) * heard).mean(dim=1)  # one patch: what is pooled is the map
    scores = Connoisseur(encoder)(pictures, heard)
    torch.testing.assert_close(scores, agreement[:, None, None, None])


def test_a_connoisseur_learns_but_its_batch_norms_keep_what_they_know(encoder):
    critic = Connoisseur(encoder).train()
    kept = {name: value.clone() for name, value in critic.named_buffers()}
    scores = critic(drawn(2, 3, 64, 96), drawn(2, 8))
    assert scores.shape == (2, 1, 2, 3)
    scores.square().mean().backward()
    assert all(weight.grad is not None for weight in critic.parameters())
    assert all(torch.equal(value, kept[name]) for name, value in critic.named_buffers())
