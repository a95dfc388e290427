"""Inception-V3 is that of the published FID, from its file to its features."""

from math import prod
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from golden_weights import fill, vectors, weights
from torch import Tensor

from s2s_cli.errors import ModelError
from s2s_cli.evaluation.eyes import InceptionsEye, bilinearly, cleanly
from s2s_cli.evaluation.weights import INCEPTION_FILE, filled, open_inception
from s2s_cli.networks.inception import Inception, pool

GOLDEN = "inception_v3_fid"


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Seeded weights with the published names and shapes."""
    return weights(GOLDEN)


@pytest.fixture(scope="module")
def file(state, tmp_path_factory) -> Path:
    """As published: without the norms' counters, of which this file may know or not."""
    path = tmp_path_factory.mktemp("inception") / INCEPTION_FILE
    kept = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    torch.save(kept, path)
    return path


def byte_pictures(*shape: int) -> Tensor:
    """Random bytes, (batch, 3, h, w)."""
    drawn = fill("picture", [prod(shape)], "float32") * 64 + 128
    return drawn.clamp(0, 255).to(torch.uint8).reshape(shape)


def test_it_computes_what_torch_fidelity_computes(file):
    golden = vectors(GOLDEN)
    network = open_inception(file)
    with torch.inference_mode():
        features = network.describe((byte_pictures(2, 3, 299, 299).float() - 128) / 128)
        logits = network.classify(features)
    for ours, theirs in ((features, golden["features"]), (logits, golden["logits"])):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() < 1e-4 * theirs.std()


def test_it_has_as_many_parameters_as_published():
    with torch.device("meta"):
        network = Inception()
    # Keras counts 23,817,352 that are learned, with 1000 classes and without the norms' scales, of
    # which there are as many as biases: 17,216. There are 8 classes more.
    assert sum(p.numel() for p in network.parameters()) == 23_817_352 + 17_216 + 8 * (2048 + 1)


def test_averages_leave_out_what_lies_beyond_the_border():
    picture = torch.arange(1.0, 10).reshape(1, 1, 3, 3)
    corner, edge, middle = (1 + 2 + 4 + 5) / 4, (1 + 2 + 3 + 4 + 5 + 6) / 6, 5.0
    averages = pool(picture, "average")[0, 0]
    assert averages[0, 0] == corner
    assert averages[0, 1] == edge
    assert averages[1, 1] == middle


def test_maxima_keep_the_size_or_halve_it():
    picture = -torch.arange(1.0, 26).reshape(1, 1, 5, 5)
    assert pool(picture, "shrink")[0, 0].tolist() == [[-1, -3], [-11, -13]]
    kept = pool(picture, "max")[0, 0]
    assert kept.shape == (5, 5)
    assert kept[[0, 1, 4], [0, 1, 4]].tolist() == [-1, -1, -19]  # zeros around would win


@pytest.mark.parametrize(
    ("block", "how"), [("Mixed_5b", "average"), ("Mixed_7b", "average"), ("Mixed_7c", "max")]
)
def test_each_block_pools_in_the_published_way(block, how):
    with torch.device("meta"):
        network = Inception()
    assert network.get_submodule(block).how == how


def test_the_first_block_joins_its_branches_in_the_published_order(file):
    block = open_inception(file).Mixed_5b
    x = fill("x", [1, 192, 5, 5], "float32")
    whole = block(x)
    assert whole.shape == (1, 64 + 64 + 96 + 32, 5, 5)
    assert whole[:, :64] == pytest.approx(block.branch1x1(x), abs=1e-5)
    surround = F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 1) / F.avg_pool2d(
        F.pad(torch.ones(1, 1, 5, 5), (1, 1, 1, 1)), 3, 1
    )
    assert whole[:, -32:] == pytest.approx(block.branch_pool(surround), abs=1e-5)


# The file


def test_a_file_that_counts_what_norms_were_taught_is_read_too(state):
    with torch.device("meta"):
        network = Inception()
    assert "Mixed_5b.branch1x1.bn.num_batches_tracked" in state
    filled(network, state, Path("inception.pth"))


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("fc.bias", None, r"it lacks fc\.bias"),
        ("AuxLogits.fc.bias", torch.zeros(1000), r"does not belong in it: AuxLogits\.fc\.bias"),
        ("fc.weight", torch.zeros(1000, 2048), r"it misshapes fc\.weight"),  # torchvision's
        ("fc.bias", torch.full((1008,), torch.nan), r"fc\.bias is not finite"),
    ],
)
def test_weights_of_another_network_are_refused_in_one_sentence(state, key, value, fault):
    wrong = {**state, key: value} if value is not None else {k: state[k] for k in state if k != key}
    with torch.device("meta"):
        network = Inception()
    with pytest.raises(ModelError, match=rf"^inception\.pth.*{fault}[^\n]*$"):
        filled(network, wrong, Path("inception.pth"))


def test_a_file_that_is_no_checkpoint_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "page.pth"
    path.write_text("<html>")
    with pytest.raises(ModelError, match=r"page\.pth is not a whole PyTorch checkpoint"):
        open_inception(path)


# The eye


def test_the_eye_sees_pictures_of_any_size(file):
    eye = InceptionsEye(file.parent)
    sight = eye.look(byte_pictures(2, 3, 45, 62) / 127.5 - 1)
    assert eye.name == "Inception-V3"
    assert sight.features.shape == (2, 2048)
    assert sight.probabilities.shape == (2, 1008)
    assert sight.probabilities.sum(dim=1) == pytest.approx(torch.ones(2), abs=1e-5)
    assert sight.similarities is None


def test_the_eye_scores_classes_without_their_bias(file, state):
    eye = InceptionsEye(file, clean=True)
    sight = eye.look(byte_pictures(1, 3, 299, 299) / 127.5 - 1)
    odds = (sight.features.double() @ state["fc.weight"].double().T).exp()
    assert eye.name == "Inception-V3, clean"
    assert sight.probabilities == pytest.approx(odds / odds.sum(), abs=1e-6)
    # The same picture as for the golden features, which needs no resizing.
    golden = vectors(GOLDEN)["features"]
    picture = byte_pictures(2, 3, 299, 299) / 127.5 - 1
    assert eye.look(picture).features == pytest.approx(golden, abs=1e-4)


def test_a_picture_of_299_px_is_only_scaled():
    pixels = byte_pictures(1, 3, 299, 299).float()
    picture = pixels / 127.5 - 1
    assert (bilinearly(picture) - picture).abs().max() < 1e-6
    assert (cleanly(picture) - (pixels - 128) / 128).abs().max() < 1e-6


def test_clean_resizing_is_that_of_an_antialiased_bicubic_filter():
    pixels = byte_pictures(2, 3, 400, 40).float()
    expected = F.interpolate(pixels, (299, 299), mode="bicubic", antialias=True)
    brought = cleanly(pixels / 127.5 - 1)
    assert (brought - (expected - 128) / 128).abs().max() < 1e-4
    assert brought.max() > 1  # it is not clipped: the filter goes beyond white


def test_stripes_too_fine_for_299_px_become_grey_only_by_clean_resizing():
    stripes = torch.tensor([1.0, -1, -1, 1]).repeat(299).expand(1, 3, 8, 4 * 299)
    # Bilinear sampling meets the two middle pixels of every four.
    assert bilinearly(stripes)[..., 5:-5].max() < -0.999
    assert cleanly(stripes)[..., 5:-5].abs().max() < 0.01
