"""The flow generator: what its solver, its guidance and its noise must do, whatever it learned."""

import pytest
import torch
from conftest import TINY_FLOW, randomise

from s2s_cli.latents import unit
from s2s_cli.networks.flow import EDITING, Flow, Route


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


@pytest.fixture
def gentle(flow) -> Flow:
    """Pictures are latents, a tenth as large, and paths are nearly as straight as learned ones."""
    plain = Flow(flow.config)
    plain.load_state_dict(flow.state_dict())
    plain.latent_std.fill_(0.1)
    plain.autoencoder.encode = plain.autoencoder.decode = lambda latents: latents
    with torch.no_grad():
        plain.velocity.leave[-1].weight.mul_(0.2)
    return plain.eval().requires_grad_(False)


@pytest.mark.parametrize("route", [EDITING, Route(6, 2.5), Route(3, 2.0)], ids=str)
def test_run_backwards_the_flow_finds_the_noise_it_came_from(gentle, feature, route):
    noise = gentle.noise([0, 1])
    pictures = gentle.paint(noise, feature, route)
    assert (pictures - 0.1 * noise).abs().mean() > 0.01
    found = gentle.invert(pictures, 9 * feature, route)
    assert (found - noise).abs().max() < 0.003


def test_backwards_and_forwards_again_gives_any_picture_back(gentle, feature):
    """Ones that the flow never painted come back too."""
    pictures = 0.1 * torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(5))
    again = gentle.paint(gentle.invert(pictures, feature), feature, EDITING)
    assert (again - pictures).abs().max() < 0.0003


def test_backwards_means_whitened_first(flow, feature):
    still = with_velocity(flow, None)
    still.told = lambda latents, time, feature: torch.zeros_like(latents)
    still.latent_mean.fill_(0.5)
    still.latent_std.fill_(2.0)
    pictures = flow.paint(flow.noise([0, 1]), feature)
    expected = (flow.autoencoder.encode(pictures) - 0.5) / 2
    assert torch.allclose(still.invert(pictures, feature), expected)


def test_another_feature_paints_another_picture_from_the_found_noise(flow, feature):
    pictures = flow.paint(flow.noise([0]), feature[:1])
    noise = flow.invert(pictures, feature[:1])
    same, other = (flow.paint(noise, feature[i : i + 1], EDITING) for i in (0, 1))
    assert (same - other).abs().mean() > 0.01


def test_a_route_without_guidance_follows_the_feature_alone(flow, feature):
    """Guidance 1 is no guidance: half the work must paint the same picture."""
    noise = flow.noise([0, 1])
    alone = flow.paint(noise, feature, Route(3, 1.0))
    flow = with_velocity(flow, flow.guided)
    flow.told = lambda latents, time, feature: flow.guided(latents, time, feature, guidance=1.0)
    assert torch.allclose(flow.paint(noise, feature, Route(3, 1.0)), alone, atol=1e-5)


def test_the_configs_route_is_the_default(flow, feature):
    noise = flow.noise([0, 1])
    route = Route(flow.config.steps, flow.config.guidance)
    assert torch.equal(flow.paint(noise, feature), flow.paint(noise, feature, route))
    assert not torch.equal(flow.paint(noise, feature), flow.paint(noise, feature, EDITING))
