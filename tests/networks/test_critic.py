"""What judges the paper's generator: its published sizes, and what its scores are made of."""

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from conftest import randomise
from torch import Tensor

from s2s_cli.networks.biggan import published_128, published_256
from s2s_cli.networks.critic import (
    BigGANCritic,
    BigGANCriticConfig,
    ShrinkBlock,
    published_critic_128,
    published_critic_256,
)
from s2s_cli.networks.spectral import SpectralNorm, normalise

TINY = BigGANCriticConfig(channels=8, multipliers=(1, 2, 4), attention_px=(8,), features=6)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def critic() -> BigGANCritic:
    return randomise(BigGANCritic(TINY), 0)


def test_it_has_as_many_weights_as_biggans():
    """BigGAN's at 128 px has 87,982,370, of which 1000 x 1536 embed classes. Ours embeds features.

    The number is what Google's compare_gan counts in its test of the same network.
    """
    with torch.device("meta"):
        critic = BigGANCritic(published_critic_128())
    count = sum(weight.numel() for weight in critic.parameters())
    embedding = sum(weight.numel() for weight in critic.linear_feat.parameters())
    assert count - embedding + 1000 * 1536 == 87_982_370
    assert embedding == 2048 * 1536 + 1536


@pytest.mark.parametrize(
    ("config", "generator", "attends", "widths"),
    [
        (published_critic_128(), published_128(), "blocks.0.1", (96, 192, 384, 768, 1536, 1536)),
        (
            published_critic_256(), published_256(), "blocks.1.1",
            (96, 192, 384, 768, 768, 1536, 1536),
        ),
    ],
)  # fmt: skip
def test_it_is_made_for_the_published_generators(config, generator, attends, widths):
    with torch.device("meta"):
        critic = BigGANCritic(config)
    assert (config.picture_px, config.features) == (generator.picture_px, generator.features)
    state = critic.state_dict()
    assert f"{attends}.gamma" in state
    assert [key for key in state if key.endswith("gamma")] == [f"{attends}.gamma"]
    assert tuple(len(stage[0].conv2.weight) for stage in critic.blocks) == widths
    assert f"blocks.{len(widths) - 1}.0.conv_sc.weight" not in state  # nothing changes there
    assert f"blocks.{len(widths) - 2}.0.conv_sc.weight" in state


def test_a_block_shrinks_as_biggans_does():
    """Behind the first: ReLU, convolution, ReLU, convolution, mean of pixels (figure 15c)."""
    block = randomise(ShrinkBlock(3, 5, sees_colours=False, halves=True), 0)
    x = drawn(2, 3, 8, 8)
    path = block.conv2(block.conv1(x.clamp(min=0)).clamp(min=0))
    wanted = F.avg_pool2d(path, 2) + F.avg_pool2d(block.conv_sc(x), 2)
    torch.testing.assert_close(block(x), wanted)

    first = randomise(ShrinkBlock(3, 5, sees_colours=True, halves=True), 0)
    path = first.conv2(first.conv1(x).clamp(min=0))
    wanted = F.avg_pool2d(path, 2) + F.avg_pool2d(first.conv_sc(x), 2)
    torch.testing.assert_close(first(x), wanted)

    last = randomise(ShrinkBlock(5, 5, sees_colours=False, halves=False), 0)
    x = drawn(2, 5, 4, 4)
    wanted = x + last.conv2(last.conv1(x.clamp(min=0)).clamp(min=0))
    torch.testing.assert_close(last(x), wanted)


def test_a_score_is_the_pictures_own_and_a_product_with_the_feature(critic):
    """So it is straight in the feature, by an angle that depends on the picture."""
    pictures, one, other = drawn(4, 3, 16, 16), drawn(4, 6, seed=1), drawn(4, 6, seed=2)
    found = pictures
    for stage in critic.blocks:
        for layer in stage:
            found = layer(found)
    found = found.clamp(min=0).flatten(2).sum(dim=2)
    weight, bias = critic.linear.parameters()
    wanted = found @ weight[0] + bias + (critic.linear_feat(one) * found).sum(dim=1)
    torch.testing.assert_close(critic(pictures, one), wanted)
    between = critic(pictures, 0.3 * one + 0.7 * other)
    torch.testing.assert_close(
        between, 0.3 * critic(pictures, one) + 0.7 * critic(pictures, other), rtol=1e-4, atol=1e-4
    )
    steps = critic(pictures, other) - critic(pictures, one)
    crossed = critic(pictures.flip(0), other) - critic(pictures.flip(0), one)
    assert (steps - crossed).abs().min() > 1e-3


def test_a_score_does_not_depend_on_the_batch(critic):
    pictures, features = drawn(3, 3, 16, 16), drawn(3, 6)
    alone = critic.train()(pictures[1:2], features[1:2])
    torch.testing.assert_close(critic(pictures, features)[1:2], alone)


def test_every_weight_is_taught_in_either_precision_by_one_power_step_a_call():
    for narrow in (False, True):
        critic, calls = normalise(BigGANCritic(TINY)).train(), Counter()
        for name, module in critic.named_modules():
            if isinstance(module, SpectralNorm):
                module.register_forward_hook(
                    lambda *_, name=name, calls=calls: calls.update([name])
                )
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            scores = critic(drawn(2, 3, 16, 16), drawn(2, 6))
        assert scores.dtype == torch.float32
        scores.square().sum().backward()
        assert all(weight.grad.isfinite().all() for weight in critic.parameters())
        assert set(calls.values()) == {1}
        assert len(calls) == 3 * 3 + 4 + 2  # three blocks, attention, and what scores
