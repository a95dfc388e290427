"""The paper's generator, run backwards by search."""

import pytest
import torch
from conftest import TINY_RESNET, randomise

from s2s_cli.networks.biggan import BigGAN, BigGANConfig
from s2s_cli.networks.image_encoder import ImageEncoder, ImageEncoderConfig

TINY = BigGANConfig(
    channels=4, multipliers=(4, 4, 2, 1), attention_px=(16,), slot=4, features=16, condition=8
)


@pytest.fixture(scope="module")
def generator() -> BigGAN:
    return randomise(BigGAN(TINY), seed=0)


@pytest.fixture(scope="module")
def encoder() -> ImageEncoder:
    config = ImageEncoderConfig(resnet=TINY_RESNET, squash_px=0, picture_px=32)
    return randomise(ImageEncoder(config), seed=1)


@pytest.fixture
def pictures(generator) -> torch.Tensor:
    feature = torch.randn(2, 16, generator=torch.Generator().manual_seed(1))
    return generator.paint(generator.noise([100, 101]), feature)


def error(generator, pictures, inversion) -> torch.Tensor:
    return (generator.paint(*inversion) - pictures).square().mean(dim=(1, 2, 3))


def test_searching_longer_finds_better(generator, encoder, pictures):
    seen = encoder(pictures)
    few, more = (generator.invert(pictures, seen, encoder, steps) for steps in (1, 40))
    assert (error(generator, pictures, more) < 0.8 * error(generator, pictures, few)).all()
    noise, feature = more
    assert noise.shape == (2, TINY.dim_z)
    assert feature.norm(dim=1).tolist() == pytest.approx([1, 1])


def test_the_best_is_kept_however_wild_the_search(generator, encoder, pictures, monkeypatch):
    monkeypatch.setattr("s2s_cli.networks.biggan.SEARCH_RATE", 5.0)  # it leaps about
    losses = []
    seen = encoder(pictures)
    wild = generator.invert(pictures, seen, encoder, 10, losses.append)
    start = generator.invert(pictures, seen, encoder, 1)
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == 10
    assert (error(generator, pictures, wild) <= 1.05 * error(generator, pictures, start)).all()


def test_without_steps_the_start_is_returned(generator, encoder, pictures):
    seen = encoder(pictures)
    noise, feature = generator.invert(pictures, seen, encoder, 0)
    assert torch.allclose(feature, torch.nn.functional.normalize(seen))
    starts = torch.cat([torch.zeros(1, TINY.dim_z), generator.noise(range(7))])
    assert all((starts == one).all(dim=1).any() for one in noise)


def test_a_picture_is_found_alike_in_any_company_and_any_run(generator, encoder, pictures):
    seen = encoder(pictures)
    both, again = (generator.invert(pictures, seen, encoder, 5) for _ in range(2))
    alone = generator.invert(pictures[1:], seen[1:], encoder, 5)
    for ours, same, single in zip(both, again, alone, strict=True):
        assert torch.equal(ours, same)
        assert torch.allclose(ours[1:], single, atol=1e-3)


def test_it_searches_in_inference_mode_too_and_changes_no_weight(generator, encoder, pictures):
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    with torch.inference_mode():
        inversion = generator.invert(pictures.clone(), encoder(pictures), encoder, 3)
        assert error(generator, pictures, inversion).isfinite().all()
    after = generator.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not any(value.requires_grad for value in inversion)
