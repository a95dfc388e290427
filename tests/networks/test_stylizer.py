"""A stylizer takes any picture and really hears its sound; the golden numbers stand beside it."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from conftest import randomise
from torch import Tensor

from s2s_cli.networks.audio_encoder import AudioEncoder, AudioEncoderConfig
from s2s_cli.networks.discriminators import PatchGAN, PatchGANConfig
from s2s_cli.networks.layers import BlurDown, InstanceNorm
from s2s_cli.networks.stylizer import SMALLEST_PX, GrowBlock, Stylizer, StylizerConfig

SMALL = StylizerConfig(features=6, down=(4, 6, 8), blocks=2, up=(6, 4))
MODULATED = replace(SMALL, fusion="modulated")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def photo(height: int, width: int) -> Tensor:
    """A photo's worth of structure: random, but smooth over some pixels."""
    return F.interpolate(drawn(1, 3, 9, 9), (height, width), mode="bicubic").clamp(-1, 1)


@pytest.fixture(params=[SMALL, MODULATED], ids=["concatenated", "modulated"])
def stylizer(request) -> Stylizer:
    return randomise(Stylizer(request.param), 0)


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (2, 3), (1, 40), (8, 8), (97, 143), (64, 66), (12, 300)]
)
def test_a_picture_of_any_size_keeps_it(stylizer, height, width):
    restyled = stylizer(photo(height, width), drawn(1, 6))
    assert restyled.shape == (1, 3, height, width)
    assert restyled.isfinite().all()
    assert restyled.abs().max() <= 1


def test_what_is_added_to_an_odd_side_is_its_last_pixels(stylizer):
    """So the picture is that of the continued one, cut to size."""
    odd = photo(30, 41)
    whole = F.pad(odd, (0, 3, 0, 2), mode="replicate")
    feature = drawn(1, 6)
    assert torch.equal(stylizer(odd, feature), stylizer(whole, feature)[:, :, :30, :41])


def test_a_picture_does_not_depend_on_the_others_of_its_batch(stylizer):
    pictures, features = torch.cat([photo(16, 20), -photo(16, 20)]), drawn(2, 6)
    both = stylizer(pictures, features)
    torch.testing.assert_close(both[1:], stylizer(pictures[1:], features[1:]), rtol=0, atol=1e-5)


def test_a_feature_is_heard_as_if_it_stood_beside_the_maps_at_every_place():
    """The short cut of the code against the plain concatenation of the paper."""
    block = GrowBlock(3, 5, beside=4)
    maps, feature = drawn(2, 3, 6, 7), drawn(2, 4, seed=1)
    beside = feature[:, :, None, None].expand(-1, -1, 6, 7)
    grown = F.interpolate(torch.cat([maps, beside], dim=1), scale_factor=2, mode="bilinear")
    torch.testing.assert_close(
        block(maps, feature), F.instance_norm(block.conv(grown)).relu(), rtol=1e-4, atol=1e-5
    )


def change(stylizer: Stylizer, px: int) -> Tensor:
    """What another sound changes in a photo, (3, px, px)."""
    one, other = stylizer(photo(px, px).repeat(2, 1, 1, 1), drawn(2, 6))
    return one - other


def test_another_sound_is_another_picture(stylizer):
    assert change(stylizer, 32).abs().mean() > 1e-3


def test_a_modulated_sound_acts_alike_at_any_size_and_a_concatenated_one_fades():
    """Between zeros around the map and instance norms, only the border tells of the sound."""
    for config, least, most in ((MODULATED, 0.8, 1.25), (SMALL, 0.2, 0.7)):
        stylizer = randomise(Stylizer(config), 0)
        ratio = change(stylizer, 256).abs().mean() / change(stylizer, 64).abs().mean()
        assert least < ratio < most, config.fusion


def test_the_sound_can_be_learned_from_the_picture(stylizer):
    feature = drawn(1, 6).requires_grad_()
    stylizer(photo(16, 16), feature).square().mean().backward()
    assert feature.grad is not None
    assert feature.grad.abs().min() > 0


def test_the_layers_that_are_compared_are_the_papers():
    """Pixels, two convolutions, the first and the fifth of nine blocks (appendix A.2)."""
    assert StylizerConfig().nce_layers == (0, 4, 8, 12, 16)
    assert StylizerConfig().nce_channels == (3, 128, 256, 256, 256)
    assert SMALL.nce_layers == (0, 4, 8, 12, 13)


def test_the_maps_of_those_layers_come_at_their_own_sides(stylizer):
    config = stylizer.config
    maps = stylizer.encode(photo(32, 40), config.nce_layers)
    assert [grid.shape[1] for grid in maps] == list(config.nce_channels)
    sides = [(38, 46), (32, 40), (16, 20), (8, 10), (8, 10)]
    assert [tuple(grid.shape[2:]) for grid in maps] == sides


def test_the_smallest_picture_is_as_small_as_it_says(stylizer):
    stylizer.encode(photo(SMALLEST_PX, SMALLEST_PX), stylizer.config.nce_layers)
    with pytest.raises(RuntimeError):
        stylizer.encode(photo(SMALLEST_PX - 4, SMALLEST_PX), stylizer.config.nce_layers)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_our_instance_norm_is_torchs(memory):
    """Far from 0 too, where a variance from squares alone would lose its digits."""
    x = (drawn(2, 5, 64, 64) + 50).to(memory_format=memory)
    expected = F.instance_norm(x.double()).float()
    torch.testing.assert_close(InstanceNorm()(x), expected, rtol=0, atol=5e-5)


def test_a_blur_keeps_a_plain_and_takes_a_chessboard_away():
    plain = torch.full((1, 2, 8, 8), 0.7)
    torch.testing.assert_close(BlurDown()(plain), plain[:, :, :4, :4])
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2.0 - 1
    assert BlurDown()(board.expand(1, 1, 8, 8)).abs().max() < 1e-6


def test_over_a_picture_only_the_change_is_painted():
    """Without weights in its last layer nothing changes, half a grey level at the ends aside."""
    over = Stylizer(StylizerConfig(8, (4, 4, 8), 1, (4, 4), "modulated", "over"))
    randomise(over, 0)
    pictures = torch.rand(2, 3, 17, 22, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pictures[0, 0, 0, :2] = torch.tensor([-1.0, 1.0])
    changed = over(pictures, torch.zeros(2, 8))
    assert (changed - pictures).abs().max() > 0.1
    torch.nn.init.zeros_(over.to_rgb.weight)
    torch.nn.init.constant_(over.to_rgb.bias, 0.0)
    kept = over(pictures, torch.zeros(2, 8))
    torch.testing.assert_close(kept, pictures, atol=0.51 / 127.5, rtol=0)
    for bias, becomes in ((0.75, math.tanh(1.5 * math.tanh(0.5))), (1e3, math.tanh(1.5))):
        torch.nn.init.constant_(over.to_rgb.bias, bias)
        grey = over(torch.zeros(1, 3, 16, 16), torch.zeros(1, 8))
        torch.testing.assert_close(grey, torch.full_like(grey, becomes), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("network", "config", "millions"),
    [
        (Stylizer, StylizerConfig(), 12.494),
        (PatchGAN, PatchGANConfig(), 2.768),
        (AudioEncoder, AudioEncoderConfig(), 12.221),  # Sound2Scene's
    ],
)
def test_the_defaults_have_as_many_weights_as_the_published_networks(network, config, millions):
    with torch.device("meta"):
        weights = sum(weight.numel() for weight in network(config).parameters())
    assert weights / 1e6 == pytest.approx(millions, abs=5e-4)
