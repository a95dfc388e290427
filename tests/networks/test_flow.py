"""The flow generator: what its solver, its guidance and its noise must do, whatever it learned."""

import pytest
import torch
from conftest import TINY_FLOW, randomise

from s2s_cli.latents import unit
from s2s_cli.networks.flow import Flow


@pytest.fixture(scope="module")
def flow() -> Flow:
    return randomise(Flow(TINY_FLOW), seed=0)


@pytest.fixture
def feature() -> torch.Tensor:
    return torch.randn(2, 16, generator=torch.Generator().manual_seed(1))


def with_velocity(flow: Flow, velocity) -> Flow:
    """The same generator with a velocity field of known solution."""
    known = Flow(flow.config)
    known.load_state_dict(flow.state_dict())
    known.guided = velocity
    return known.eval()


def test_pictures_have_the_size_and_range_that_the_config_says(flow, feature):
    pictures = flow.paint(flow.noise([0, 1]), feature)
    assert pictures.shape == (2, 3, flow.picture_px, flow.picture_px)
    assert pictures.abs().max() <= 1


def test_a_seed_means_the_same_in_any_batch(flow):
    assert torch.equal(flow.noise([7])[0], flow.noise([3, 7, 5])[1])
    assert not torch.equal(flow.noise([7]), flow.noise([8]))


def test_truncation_scales_the_noise(flow):
    assert torch.equal(flow.noise([7], truncation=0.5), 0.5 * flow.noise([7]))


def test_only_the_direction_of_a_feature_counts(flow, feature):
    noise = flow.noise([0, 1])
    assert torch.allclose(flow.paint(noise, feature), flow.paint(noise, 9 * feature), atol=1e-5)


def test_a_feature_changes_the_picture(flow, feature):
    noise = flow.noise([0])
    a, b = (flow.paint(noise, feature[i : i + 1]) for i in (0, 1))
    assert (a - b).abs().mean() > 0.01


def test_without_motion_the_noise_itself_is_decoded(flow, feature):
    still = with_velocity(flow, lambda latents, time, feature: torch.zeros_like(latents))
    noise = flow.noise([0, 1])
    expected = flow.autoencoder.decode(flow.colour(noise)).clamp(-1, 1)
    assert torch.allclose(still.paint(noise, feature), expected)


def test_the_solver_is_of_second_order(flow, feature):
    """dx/dt = x has the solution e * x(0); halving the step must quarter the error."""
    errors = []
    for steps in (8, 16):
        reached = {}

        class Growing(Flow):
            def colour(self, latents, reached=reached):
                reached["end"] = latents
                return super().colour(latents)

        growing = Growing(type(TINY_FLOW)(**{**vars(TINY_FLOW), "steps": steps})).eval()
        growing.guided = lambda latents, time, feature: latents
        noise = growing.noise([0, 1])
        growing.paint(noise, feature)
        errors.append((reached["end"] - torch.e * noise).abs().max())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)


def test_guidance_extrapolates_from_the_untold_velocity(flow, feature):
    """arXiv:2207.12598 Eq. 6: untold + w (told - untold)."""
    latents, when = flow.noise([0, 1]), torch.full((2,), 0.3)
    told = flow.velocity(latents, when, unit(feature))
    untold = flow.velocity(latents, when, unit(feature), torch.tensor([True, True]))
    expected = untold + flow.config.guidance * (told - untold)
    assert torch.allclose(flow.guided(latents, 0.3, unit(feature)), expected, atol=1e-5)


def test_a_dropped_feature_leaves_no_trace(flow, feature):
    latents, when = flow.noise([0, 1]), torch.full((2,), 0.3)
    dropped = torch.tensor([True, True])
    a = flow.velocity(latents, when, unit(feature), dropped)
    b = flow.velocity(latents, when, unit(-feature), dropped)
    assert torch.equal(a, b)


def test_colour_undoes_whiten(flow):
    flow = Flow(flow.config)
    flow.latent_mean.copy_(torch.tensor([1.0, -2.0, 0.5, 3.0]))
    flow.latent_std.copy_(torch.tensor([0.5, 2.0, 1.5, 0.1]))
    latents = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(flow.colour(flow.whiten(latents)), latents, atol=1e-6)


def test_latents_are_bounded_and_an_eighth_as_wide(flow):
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    latents = flow.autoencoder.encode(50 * pictures)
    assert latents.shape == (2, 4, 4, 4)
    assert latents.abs().max() <= flow.config.autoencoder.latent_bound
    assert flow.autoencoder.decode(latents).shape == pictures.shape


def test_bfloat16_paints_nearly_the_same(flow, feature):
    noise = flow.noise([0, 1])
    exact = flow.paint(noise, feature)
    flow.set_precision("bfloat16")
    rounded = flow.paint(noise, feature)
    flow.set_precision("float32")
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).abs().mean() < 0.02
