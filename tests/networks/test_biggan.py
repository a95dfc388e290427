"""The paper's generator: how it is run backwards by search, and how it learns."""

import json
from collections import Counter
from math import prod

import pytest
import torch
from conftest import TINY_RESNET, randomise
from golden_weights import GOLDEN

from s2s_cli.networks.biggan import (
    BigGAN,
    BigGANConfig,
    ConditionalNorm,
    Conv,
    Norm,
    published_128,
)
from s2s_cli.networks.image_encoder import ImageEncoder, ImageEncoderConfig
from s2s_cli.networks.spectral import SpectralNorm, normalise

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


# How it learns


PLAIN = BigGANConfig(channels=4, multipliers=(4, 2, 1), attention_px=(8,), slot=4, features=6)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def learning(seed: int = 0) -> BigGAN:
    """A generator that learns, with spectral norm."""
    return normalise(randomise(BigGAN(PLAIN), seed).requires_grad_(True)).train()


def test_it_has_as_many_weights_as_the_published_checkpoint():
    """77.16 million, of which 128,000 embed the 1000 classes that IC-GAN is never told."""
    with torch.device("meta"):
        ours = sum(weight.numel() for weight in BigGAN(published_128()).parameters())
    listed = json.loads((GOLDEN / "icgan_biggan_imagenet_res128.json").read_text())["state_dict"]
    buffers = ("u0", "sv0", "stored_mean", "stored_var")
    published = sum(prod(shape) for key, (shape, _) in listed.items() if not key.endswith(buffers))
    assert ours + 1000 * 128 == published == 77_160_132


def test_the_layers_that_learn_normalised_are_the_published_ones():
    listed = json.loads((GOLDEN / "icgan_biggan_imagenet_res128.json").read_text())["state_dict"]
    with torch.device("meta"):
        generator = BigGAN(published_128())
    layers = {
        name
        for name, layer in generator.named_modules()
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)
    }
    assert layers == {key.removesuffix(".u0") for key in listed if key.endswith(".u0")}


def test_each_weight_takes_one_power_step_a_call():
    generator, calls = learning(), Counter()
    for name, module in generator.named_modules():
        if isinstance(module, SpectralNorm):
            module.register_forward_hook(lambda *_, name=name: calls.update([name]))
    generator(drawn(2, PLAIN.dim_z), drawn(2, 6))
    assert set(calls.values()) == {1}
    assert len(calls) == 2 + 2 * 7 + 4 + 1  # first layers, two blocks, attention, the last layer


@pytest.mark.parametrize("px", [4, 17])
@pytest.mark.parametrize("learns", [True, False])
def test_a_convolution_is_one_in_whichever_way(px, learns):
    conv = Conv(5, 7, 3).train(learns)
    x = drawn(2, 5, px, px)
    plain = torch.nn.functional.conv2d(x, conv.weight, conv.bias, padding=1)
    torch.testing.assert_close(conv(x), plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("narrow", [False, True])
def test_while_it_learns_a_norm_is_torchs_batch_norm(narrow):
    """With a condition that asks for no gain and no bias; outputs, statistics and gradients."""
    ours, theirs = ConditionalNorm(5, 3, eps=1e-3), torch.nn.BatchNorm2d(5, 1e-3, affine=False)
    torch.nn.init.zeros_(ours.gain.weight)
    torch.nn.init.zeros_(ours.bias.weight)
    last, affine = Norm(5), torch.nn.BatchNorm2d(5)
    for network in (last, affine):
        gain, bias = network.parameters()
        gain.data, bias.data = drawn(5, seed=8), drawn(5, seed=9)
    for seed in range(3):
        x = 3 + 2 * drawn(4, 5, 6, 6, seed=seed)
        x = (x.bfloat16() if narrow else x).requires_grad_()
        for found, wanted in ((ours(x, drawn(4, 3)), theirs(x)), (last(x), affine(x))):
            assert found.dtype == x.dtype
            tolerance = {"rtol": 0.05, "atol": 0.05} if narrow else {"rtol": 1e-4, "atol": 1e-5}
            torch.testing.assert_close(found, wanted, **tolerance)
            weights = drawn(4, 5, 6, 6, seed=seed + 10)
            slopes = [torch.autograd.grad((y * weights).sum(), x)[0] for y in (found, wanted)]
            torch.testing.assert_close(*slopes, **tolerance)
    for own, other in ((ours, theirs), (last, affine)):
        torch.testing.assert_close(own.stored_mean, other.running_mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(own.stored_var, other.running_var, rtol=1e-5, atol=1e-6)


def test_two_processes_normalise_by_the_whole_batch():
    whole = Norm(5)
    batch = 3 + 2 * drawn(8, 5, 6, 6)
    halves = batch[:4], batch[4:]
    mean = batch.mean(dim=(0, 2, 3))
    off = (halves[1] - mean[:, None, None]).square().mean(dim=(0, 2, 3))
    told = iter([halves[1].mean(dim=(0, 2, 3)), off])  # by the other process
    half = Norm(5)
    half.share, half.processes = lambda own: (own + next(told)) / 2, 2
    torch.testing.assert_close(half(halves[0]), whole(batch)[:4], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(half.stored_mean, whole.stored_mean)
    torch.testing.assert_close(half.stored_var, whole.stored_var)


def test_every_norm_can_be_told_of_other_processes():
    generator = BigGAN(PLAIN)
    generator.share_norms(abs, 3)
    assert {(norm.share, norm.processes) for norm in generator.norms} == {(abs, 3)}
    assert len(list(generator.norms)) == 2 * 2 + 1


def test_to_paint_nothing_moves_and_to_learn_statistics_do():
    generator = learning()
    before = {name: value.clone() for name, value in generator.state_dict().items()}

    def moved() -> set[str]:
        now = generator.state_dict()
        return {name.rpartition(".")[2] for name in now if not torch.equal(now[name], before[name])}

    generator.eval().paint(drawn(3, PLAIN.dim_z), drawn(3, 6))
    assert moved() == set()
    generator.train().paint(drawn(3, PLAIN.dim_z), drawn(3, 6))
    assert moved() == {"stored_mean", "stored_var", "_u", "_v"}


def test_every_weight_is_taught_in_either_precision():
    for narrow in (False, True):
        generator = learning()
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            pictures = generator(drawn(3, PLAIN.dim_z), drawn(3, 6))
        assert pictures.dtype == torch.float32
        pictures.square().sum().backward()
        for name, weight in generator.named_parameters():
            assert weight.grad is not None, name
            assert weight.grad.isfinite().all(), name
        assert generator.shared_feat.bias.grad.abs().max() > 0


def test_settled_norms_know_the_mean_of_the_batches():
    """Those of the first block see the first layer alone, so their statistics are known."""
    generator = randomise(BigGAN(PLAIN), 0)
    batches = [(drawn(6, PLAIN.dim_z, seed=s), drawn(6, 6, seed=s)) for s in range(3)]
    for norm in generator.norms:
        norm.stored_mean.fill_(99)
    generator.settle(batches)
    firsts = [generator.linear(noise[:, :4]).reshape(6, 16, 16) for noise, _ in batches]
    means = torch.stack([maps.mean(dim=(0, 2)) for maps in firsts])
    variances = torch.stack([maps.var(dim=(0, 2)) for maps in firsts])
    first, *_, last = generator.norms
    torch.testing.assert_close(first.stored_mean, means.mean(dim=0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(first.stored_var, variances.mean(dim=0), rtol=1e-4, atol=1e-5)
    assert last.stored_mean.abs().max() < 50
    assert not generator.training
    assert {norm.momentum for norm in generator.norms} == {0.1}


def test_settled_by_one_batch_it_paints_that_as_it_did_while_learning():
    generator = randomise(BigGAN(PLAIN), 0)
    noise, feature = drawn(64, PLAIN.dim_z), drawn(64, 6)
    with torch.no_grad():
        while_learning = generator.train()(noise, feature)
    painted = generator.settle([(noise, feature)])(noise, feature)
    # But for what a batch's variance falls short of the stored one: 1 of 1,024 values and more.
    torch.testing.assert_close(painted, while_learning, rtol=0, atol=0.01)
