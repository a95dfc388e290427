"""Our networks compute what the authors' code computes (tests/golden), to 1e-4 of the spread."""

from collections.abc import Iterator

import pytest
import torch
from golden_weights import fill, vectors, weights
from torch import Tensor

from s2s_cli.audio.mixing import bring_to_peak
from s2s_cli.audio.spectrogram import FRONT_ENDS, magnitude, standardised
from s2s_cli.networks.audio_encoder import AudioEncoder, AudioEncoderConfig, published_avstyle
from s2s_cli.networks.biggan import (
    BigGAN,
    BigGANConfig,
    Conv,
    fold_spectral_norm,
    published_128,
    published_256,
)
from s2s_cli.networks.discriminators import PatchGAN, PatchGANConfig
from s2s_cli.networks.image_encoder import ImageEncoder, ImageEncoderConfig
from s2s_cli.networks.stylizer import Stylizer, StylizerConfig
from s2s_cli.training.losses import cosine_nce, feature_l2, info_nce

HALF = 2**-11  # relative rounding of numbers that the golden files keep as float16


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def assert_agrees(ours: Tensor, golden: Tensor, rounded: bool = False) -> None:
    """Within 1e-4 of the golden deviation, and the rounding of what is stored as float16."""
    allowed = 1e-4 * golden.std() + (HALF * golden.abs() if rounded else 0)
    excess = ((ours - golden).abs() - allowed).max().item()
    assert ours.shape == golden.shape
    assert excess <= 0, f"off by {excess:.2e} more than allowed"


@pytest.mark.parametrize(
    ("name", "make", "kept"),  # of the frames, every how many are in the file
    [
        ("spec_clip", lambda clip: clip, 1),
        ("spec_tiled_first_40000", lambda clip: clip[:40_000].repeat(4), 8),
        ("spec_times_4_clipped", lambda clip: 4 * clip, 8),
    ],
)
def test_the_spectrogram_is_the_authors(name, make, kept):
    golden = vectors("sound2scene_spectrogram")
    spectrogram = standardised(make(golden["clip"])[None])[0, :, ::kept]
    assert_agrees(spectrogram, golden[name], rounded=True)


def test_the_audio_encoder_is_the_authors():
    encoder = AudioEncoder(AudioEncoderConfig()).eval()
    state = {}
    for key, tensor in weights("sound2scene_audio_encoder").items():
        name = key.removeprefix("audnet.")
        is_head = name.startswith("fc.")
        state[name.replace("fc.", "head.") if is_head else f"trunk.{name}"] = tensor
    encoder.load_state_dict(state)
    spectrogram = vectors("sound2scene_spectrogram")["spec_clip"][None]
    golden = vectors("sound2scene_audio_encoder")
    assert_agrees(encoder.trunk(spectrogram[:, None]), golden["pooled"])
    assert_agrees(encoder(spectrogram), golden["embedding"])


def test_the_image_encoder_is_swavs():
    encoder = ImageEncoder(ImageEncoderConfig()).eval()
    encoder.trunk.load_state_dict(weights("swav_resnet50_trunk"))
    golden = vectors("swav_resnet50_trunk")
    assert_agrees(encoder.trunk(golden["image"]), golden["features"])


def test_the_generator_is_icgans_at_128():
    """Its spectral norm, computed by the authors on every call, is folded into our weights."""
    state = fold_spectral_norm(weights("icgan_biggan_imagenet_res128"))
    del state["shared.weight"]  # an embedding of classes that the generator never looks up
    generator = BigGAN(published_128())
    generator.load_state_dict(state)
    golden = vectors("icgan_biggan_imagenet_res128")
    pictures = generator.paint(golden["z"], golden["features"])
    assert_agrees(pictures, golden["image"], rounded=True)

    # Only the direction of a feature counts, as in the authors' script.
    again = generator.paint(golden["z"][:1], 7 * golden["features"][:1])
    assert_agrees(again, pictures[:1])

    # The fast precision stays within one level of an 8-bit picture, on average.
    fast = generator.set_precision("bfloat16").paint(golden["z"], golden["features"])
    assert fast.dtype == torch.float32
    assert (fast - pictures).abs().mean() / 2 < 1 / 255


def test_the_published_256_generator_has_the_authors_shapes():
    """Noise of 120 over 7 slots is 17 each; with 512 from the feature, every norm reads 529."""
    with torch.device("meta"):
        generator = BigGAN(published_256())
    state = generator.state_dict()
    assert generator.config.dim_z == 119
    assert generator.picture_px == 256
    assert state["blocks.5.0.bn1.gain.weight"].shape == (192, 529)
    assert state["blocks.2.0.conv1.weight"].shape == (768, 768, 3, 3)
    assert "blocks.3.1.gamma" in state  # it attends to itself at 64 px
    assert state["linear.weight"].shape == (16 * 96 * 16, 17)


@pytest.mark.parametrize("px", [4, 16, 17])
@pytest.mark.parametrize("kernel", [1, 3])
def test_a_convolution_by_matrices_is_a_convolution(px, kernel):
    """Either way through ``Conv``, on both sides of the size where it changes."""
    conv = Conv(5, 7, kernel)
    x = torch.randn(2, 5, px, px, generator=torch.Generator().manual_seed(0))
    plain = torch.nn.functional.conv2d(x, conv.weight, conv.bias, padding=kernel // 2)
    torch.testing.assert_close(conv(x), plain, rtol=1e-5, atol=1e-5)


def test_folding_divides_by_one_power_step_from_the_stored_vector():
    """For a diagonal matrix the step can be done by hand; ``sv0`` is a note and plays no part."""
    state = {
        "a.weight": torch.diag(torch.tensor([3.0, 4.0])),
        "a.u0": torch.tensor([[1.0, 0.0]]),  # orthogonal to the largest direction: sigma is 3
        "a.sv0": torch.tensor([99.0]),
        "b.weight": torch.ones(2, 2),
    }
    folded = fold_spectral_norm(state)
    assert folded.keys() == {"a.weight", "b.weight"}
    torch.testing.assert_close(folded["a.weight"], state["a.weight"] / 3)
    torch.testing.assert_close(folded["b.weight"], torch.ones(2, 2))


def test_a_seed_means_the_same_noise_in_any_batch():
    with torch.device("meta"):
        generator = BigGAN(published_128())
    assert torch.equal(generator.noise([5, 9])[1], generator.noise([9])[0])
    assert generator.noise([1], truncation=0.5).shape == (1, 120)


def test_a_tiny_generator_keeps_to_the_range():
    config = BigGANConfig(channels=8, multipliers=(2, 2, 1), attention_px=(8,), slot=4, features=6)
    generator = BigGAN(config)
    state = generator.state_dict()
    generator.load_state_dict({key: fill(key, list(v.shape), "f") for key, v in state.items()})
    picture = generator.paint(generator.noise([0]), torch.ones(1, 6))
    assert picture.shape == (1, 3, 16, 16)
    assert 0 < picture.abs().max() <= 1


def test_the_losses_are_the_papers():
    golden = vectors("sound2scene_losses")
    audio, visual = golden["audio"], golden["visual"]
    assert info_nce(audio, visual).item() == pytest.approx(golden["total"].item(), rel=1e-5)
    assert cosine_nce(audio, visual).item() == pytest.approx(golden["nce"].item(), rel=1e-5)
    assert feature_l2(audio, visual).item() == pytest.approx(golden["l2"].item(), rel=1e-5)


# avstyle


def style_encoder() -> AudioEncoder:
    """The published audio encoder of avstyle, whose trunk comes in parts."""
    names = {"AudioInconv.0": "trunk.conv1", "AudioInconv.1": "trunk.bn1", "proj": "head"}
    state = {}
    for key, tensor in weights("avstyle_audio_encoder").items():
        layer, _, kind = key.rpartition(".")
        if layer != "stft":
            state[f"{names.get(layer, layer.replace('AudioLayer', 'trunk.layer'))}.{kind}"] = tensor
    encoder = AudioEncoder(published_avstyle()).eval()
    encoder.load_state_dict(state)
    return encoder


def stylizer() -> Stylizer:
    """The published generator of avstyle."""
    names = {"model_up.1": "grow1.conv", "model_up.5": "grow2.conv", "model_up.9": "to_rgb"}
    state = {}
    for key, tensor in weights("avstyle_generator").items():
        layer, _, kind = key.rpartition(".")
        for theirs, ours in {"model_down": "encoder", "conv_block.1": "conv1"}.items():
            layer = layer.replace(theirs, ours)
        layer = layer.replace("conv_block.5", "conv2")
        if kind != "filt":
            state[f"{names.get(layer, layer)}.{kind}"] = tensor
    network = Stylizer(StylizerConfig())
    network.load_state_dict(state)
    return network


def test_the_sound_that_restyles_is_heard_as_the_authors_hear_it():
    golden = vectors("avstyle_audio_encoder")
    encoder = style_encoder()
    wave = golden["wav"]
    again = bring_to_peak(0.3 * wave.numpy(), encoder.config.peak)
    assert again == pytest.approx(wave.numpy(), abs=1e-6)
    assert wave.numel() == encoder.config.seconds * encoder.config.sample_rate
    assert_agrees(magnitude(wave[None]), golden["spectrogram"], rounded=True)
    assert_agrees(encoder(FRONT_ENDS[encoder.config.front_end](wave[None])), golden["embedding"])


def test_the_stylizer_and_its_discriminator_are_the_authors():
    golden, heard = vectors("avstyle_generator"), vectors("avstyle_audio_encoder")
    network = stylizer()
    # As it is opened: channels last, in which norms are computed in another order.
    network.to(memory_format=torch.channels_last)
    restyled = network(golden["image"], heard["embedding"])
    assert_agrees(restyled, golden["stylized"], rounded=True)

    assert network.config.nce_layers == (0, 4, 8, 12, 16)
    maps = network.encode(golden["image"], network.config.nce_layers)
    assert [grid.shape[1] for grid in maps] == list(network.config.nce_channels)
    for grid, mean, std in zip(
        maps, golden["nce_feature_means"], golden["nce_feature_stds"], strict=True
    ):
        assert grid.mean().item() == pytest.approx(mean.item(), abs=1e-4 * std.item())
        assert grid.std().item() == pytest.approx(std.item(), rel=1e-4)

    state = {}
    for key, tensor in weights("avstyle_discriminator").items():
        _, number, kind = key.split(".")
        if kind != "filt":
            state[f"score.{kind}" if number == "14" else f"trunk.{number}.{kind}"] = tensor
    discriminator = PatchGAN(PatchGANConfig())
    discriminator.load_state_dict(state)
    scores = discriminator(golden["image"], magnitude(heard["wav"][None]))
    assert_agrees(scores, vectors("avstyle_discriminator")["prediction"])
