"""The generator family of our own: a small autoencoder and a rectified flow in its latent space."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2s_cli.latents import seeded_noise, unit
from s2s_cli.networks.hardware import Precision

GROUPS = 8  # of every group normalisation


@dataclass(frozen=True)
class AutoencoderConfig:
    """Pictures of ``picture_px`` to latents eight times smaller a side, and back."""

    picture_px: int = 128
    widths: tuple[int, int, int] = (48, 96, 128)  # channels at 1/2, 1/4 and 1/8 of the side
    depth: int = 2  # residual blocks at 1/4 and at 1/8; half as many at 1/2
    latent_channels: int = 8
    latent_bound: float = 3.0  # latents are squeezed into +- this

    @property
    def latent_px(self) -> int:
        """Side of the latent."""
        return self.picture_px // 8


@dataclass(frozen=True)
class VelocityConfig:
    """The U-Net that says where a noisy latent should move."""

    width: int = 128  # channels at full latent size; doubled at half size
    depth: int = 2  # residual blocks at full size, down and up each
    middle_depth: int = 2  # residual blocks with attention at half size
    heads: int = 4
    condition: int = 256  # length of time + feature


@dataclass(frozen=True)
class FlowConfig:
    """A flow generator, and how it is sampled unless told otherwise."""

    features: int = 512  # length of the image encoder's feature
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    velocity: VelocityConfig = field(default_factory=VelocityConfig)
    steps: int = 10  # solver steps from noise to picture
    guidance: float = 2.0  # 1 = none; more follows the feature more closely, with less variety


@dataclass(frozen=True)
class Route:
    """How the flow is followed: by ``paint`` to the picture, by ``invert`` back to the noise."""

    steps: int
    guidance: float  # 1 = none

    @property
    def times(self) -> list[float]:
        """The moments between steps, from 0 (noise) to 1 (picture)."""
        moments: list[float] = torch.linspace(0, 1, self.steps + 1).tolist()
        return moments


# Chosen with the model pocket, whose painting in 6 steps at guidance 2.5 cannot be undone: its
# photos came back at 16 dB beside what the autoencoder makes of them (median). Without guidance it
# is 28 dB in 6 steps and 79 dB in 12, the worst of 96 photos 35 dB; with guidance 2.5 some are
# still lost in 12. Edits then keep the drawing of a photo and change its light and colours.
EDITING = Route(steps=12, guidance=1.0)
STILL = 1e-3  # of the latents' deviation: a miss that no longer shows
PATIENCE = 12  # looks for the beginning of one step


class Residual(nn.Module):
    """Norm, SiLU, 3x3 convolution, twice, around which the input may pass."""

    def __init__(self, channels: int, out_channels: int, condition: int = 0) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, channels)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)  # a new block starts as the identity
        self.around = (
            nn.Conv2d(channels, out_channels, 1) if channels != out_channels else nn.Identity()
        )
        self.modulate = nn.Linear(condition, 2 * out_channels) if condition else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """x: (batch, channels, h, w); condition: (batch, condition), scales and shifts the norm."""
        y: Tensor = self.norm2(self.conv1(F.silu(self.norm1(x))))
        if self.modulate is not None and condition is not None:
            scale, shift = self.modulate(condition)[:, :, None, None].chunk(2, dim=1)
            y = y * (1 + scale) + shift
        y = self.conv2(F.silu(y))
        y += self.around(x)
        return y


class Attention(nn.Module):
    """Every place of a small map looks at every other."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.queries_keys_values = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, h, w), and so the result."""
        qkv = self.queries_keys_values(self.norm(x)).flatten(2)  # (batch, 3 * channels, places)
        q, k, v = qkv.unflatten(1, (3 * self.heads, -1)).transpose(2, 3).chunk(3, dim=1)
        seen = F.scaled_dot_product_attention(q, k, v)  # (batch, heads, places, channels / heads)
        out: Tensor = self.out(seen.transpose(2, 3).flatten(1, 2).unflatten(2, x.shape[2:]))
        return x + out


class Autoencoder(nn.Module):
    """Pictures become latents an eighth as wide and high, and latents become pictures again."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        half, quarter, eighth = config.widths
        few, many = max(1, config.depth // 2), config.depth
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, half, 3, padding=1),
            *(Residual(half, half) for _ in range(few)),
            nn.Conv2d(half, quarter, 4, 2, 1),
            *(Residual(quarter, quarter) for _ in range(many)),
            nn.Conv2d(quarter, eighth, 4, 2, 1),
            *(Residual(eighth, eighth) for _ in range(many)),
            nn.GroupNorm(GROUPS, eighth),
            nn.SiLU(),
            nn.Conv2d(eighth, config.latent_channels, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(config.latent_channels, eighth, 3, padding=1),
            *(Residual(eighth, eighth) for _ in range(many)),
            nn.Conv2d(eighth, quarter * 4, 1),
            nn.PixelShuffle(2),
            *(Residual(quarter, quarter) for _ in range(many)),
            nn.Conv2d(quarter, half * 4, 1),
            nn.PixelShuffle(2),
            *(Residual(half, half) for _ in range(few)),
            nn.GroupNorm(GROUPS, half),
            nn.SiLU(),
            nn.Conv2d(half, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def encode(self, pictures: Tensor) -> Tensor:
        """pictures: (batch, 3, px, px) in [-1, 1]. Returns latents (batch, channels, px / 8, …)."""
        bound = self.config.latent_bound
        latents: Tensor = self.encoder(pictures)
        return bound * (latents / bound).tanh()

    def decode(self, latents: Tensor) -> Tensor:
        """latents: as ``encode`` gives them. Returns pictures, not yet clamped to [-1, 1]."""
        pictures: Tensor = self.decoder(latents)
        return pictures


class Velocity(nn.Module):
    """A U-Net of two scales, told the time and the feature through every normalisation."""

    def __init__(self, config: VelocityConfig, latent_channels: int, features: int) -> None:
        super().__init__()
        self.config = config
        full, deep, told = config.width, 2 * config.width, config.condition
        self.time = nn.Sequential(nn.Linear(told, told), nn.SiLU(), nn.Linear(told, told))
        self.feature = nn.Linear(features, told)
        self.no_feature = nn.Parameter(torch.zeros(told))
        self.enter = nn.Conv2d(latent_channels, full, 3, padding=1)
        self.down = nn.ModuleList(Residual(full, full, told) for _ in range(config.depth))
        self.shrink = nn.Conv2d(full, deep, 4, 2, 1)
        self.middle = nn.ModuleList(Residual(deep, deep, told) for _ in range(config.middle_depth))
        self.look = nn.ModuleList(Attention(deep, config.heads) for _ in range(config.middle_depth))
        self.grow = nn.Conv2d(deep, 4 * full, 1)
        self.up = nn.ModuleList(Residual(2 * full, full, told) for _ in range(config.depth))
        self.leave = nn.Sequential(
            nn.GroupNorm(GROUPS, full), nn.SiLU(), nn.Conv2d(full, latent_channels, 3, padding=1)
        )

    def forward(
        self, x: Tensor, time: Tensor, features: Tensor, dropped: Tensor | None = None
    ) -> Tensor:
        """Where the noisy latents move.

        Args:
            x: (batch, latent_channels, h, w).
            time: (batch,), 0 = noise, 1 = picture.
            features: (batch, features), unit norm.
            dropped: (batch,) bool, True where the feature shall not be told.
        """
        # Scaled from unit norm to unit variance, where linear layers learn at their usual pace.
        told = self.feature(features * math.sqrt(features.shape[1]))
        if dropped is not None:
            told = torch.where(dropped[:, None], self.no_feature.to(told.dtype), told)
        condition = F.silu(self.time(time_waves(time, self.config.condition)) + told)
        x = self.enter(x)
        kept = []
        for block in self.down:
            x = block(x, condition)
            kept.append(x)
        x = self.shrink(x)
        for block, look in zip(self.middle, self.look, strict=True):
            x = look(block(x, condition))
        x = F.pixel_shuffle(self.grow(x), 2)
        for block in self.up:
            x = block(torch.cat([x, kept.pop()], dim=1), condition)
        velocity: Tensor = self.leave(x)
        return velocity


def time_waves(time: Tensor, size: int) -> Tensor:
    """time: (batch,) in [0, 1]. Returns its sines and cosines at many rates, (batch, size)."""
    rates = torch.exp(torch.linspace(0, math.log(1000), size // 2, device=time.device))
    angle = time[:, None].float() * rates
    return torch.cat([angle.sin(), angle.cos()], dim=1)


VelocityField = Callable[[Tensor, float, Tensor], Tensor]  # (latents, time, feature) -> velocity


def midpoint_step(
    velocity: VelocityField, latents: Tensor, feature: Tensor, now: float, then: float
) -> Tensor:
    """The midpoint rule: two looks a step, and less error than two Euler steps leave."""
    middle = (now + then) / 2
    half = latents + (middle - now) * velocity(latents, now, feature)
    return latents + (then - now) * velocity(half, middle, feature)


def midpoint_step_undone(
    velocity: VelocityField, reached: Tensor, feature: Tensor, now: float, then: float
) -> Tensor:
    """The latents from which ``midpoint_step`` reaches these.

    A step backwards only comes near them. So it is repaired by what the step forwards from there
    misses, again and again, which ends at the very place if the step is short enough.
    """
    latents = midpoint_step(velocity, reached, feature, then, now)
    for _ in range(PATIENCE):
        missed = reached - midpoint_step(velocity, latents, feature, now, then)
        latents = latents + missed
        if missed.abs().max() < STILL:
            break
    return latents


class Flow(nn.Module):
    """A generator: noise and a feature become a picture."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.precision: Precision = "float32"
        channels = config.autoencoder.latent_channels
        self.autoencoder = Autoencoder(config.autoencoder)
        self.velocity = Velocity(config.velocity, channels, config.features)
        # The flow works on whitened latents: these are the training photos' statistics per channel.
        self.register_buffer("latent_mean", torch.zeros(channels))
        self.register_buffer("latent_std", torch.ones(channels))

    @property
    def features(self) -> int:
        """Length of the feature it paints from."""
        return self.config.features

    @property
    def picture_px(self) -> int:
        """Side of its pictures."""
        return self.config.autoencoder.picture_px

    def noise(self, seeds: Sequence[int], truncation: float = 1.0) -> Tensor:
        """One latent of noise per seed: (len(seeds), channels, side, side)."""
        side = self.config.autoencoder.latent_px
        shape = (self.config.autoencoder.latent_channels, side, side)
        return seeded_noise(seeds, shape, truncation)

    def paint(self, noise: Tensor, feature: Tensor, route: Route | None = None) -> Tensor:
        """Follow the flow from noise to a latent, and decode it.

        Args:
            noise: as ``noise`` gives it, (batch, channels, side, side), or ``invert`` found it.
            feature: (batch, features), of any length: only its direction is used.
            route: None for the config's.

        Returns:
            Pictures (batch, 3, px, px), values in [-1, 1].
        """
        device = self.latent_mean.device
        latents, feature = noise.to(device), unit(feature.to(device))
        route = route or Route(self.config.steps, self.config.guidance)
        velocity = self.guided_by(route)
        with self.autocast():
            for now, then in pairwise(route.times):
                latents = midpoint_step(velocity, latents, feature, now, then)
            pictures = self.autoencoder.decode(self.colour(latents))
        return pictures.float().clamp(-1, 1)

    def invert(self, pictures: Tensor, feature: Tensor, route: Route = EDITING) -> Tensor:
        """The noise from which ``paint`` gives these pictures back: the flow run backwards.

        Args:
            pictures: (batch, 3, px, px) in [-1, 1].
            feature: (batch, features), what the image encoder sees in them; of any length.
            route: that of the painting to be undone, which wants the same feature and route.

        Returns:
            (batch, channels, side, side), near standard normal. What the autoencoder cannot draw
            is lost; beyond that, nothing that can be seen.
        """
        device = self.latent_mean.device
        feature = unit(feature.to(device))
        velocity = self.guided_by(route)
        with self.autocast():
            latents = self.whiten(self.autoencoder.encode(pictures.to(device)).float())
            for then, now in pairwise(reversed(route.times)):
                latents = midpoint_step_undone(velocity, latents, feature, now, then)
        return latents

    def set_precision(self, precision: Precision) -> "Flow":
        """Convolve and multiply in this precision from now on; the latents stay float32."""
        self.precision = precision
        return self

    def autocast(self) -> torch.autocast:
        """The context in which it computes, in its precision."""
        enabled = self.precision == "bfloat16"
        return torch.autocast(self.latent_mean.device.type, torch.bfloat16, enabled=enabled)

    def guided_by(self, route: Route) -> VelocityField:
        """The velocity on a route."""
        if route.guidance == 1:
            return self.told
        if route.guidance == self.config.guidance:
            return self.guided
        return partial(self.guided, guidance=route.guidance)

    def told(self, latents: Tensor, time: float, feature: Tensor) -> Tensor:
        """The velocity as the feature alone has it: half the work of ``guided``."""
        told: Tensor = self.velocity(latents, latents.new_full((len(latents),), time), feature)
        return told.float()

    def guided(
        self, latents: Tensor, time: float, feature: Tensor, guidance: float | None = None
    ) -> Tensor:
        """The velocity, pushed away from the one without the feature (arXiv:2207.12598).

        guidance: None for the config's.
        """
        batch = len(latents)
        moments = latents.new_full((2 * batch,), time)
        dropped = torch.arange(2 * batch, device=latents.device) >= batch
        both = self.velocity(latents.repeat(2, 1, 1, 1), moments, feature.repeat(2, 1), dropped)
        told, untold = both.float().chunk(2)
        weight = self.config.guidance if guidance is None else guidance
        guided: Tensor = untold + weight * (told - untold)
        return guided

    def whiten(self, latents: Tensor) -> Tensor:
        """The autoencoder's latents as the flow knows them: mean 0, deviation 1 per channel."""
        return (latents - self.latent_mean[:, None, None]) / self.latent_std[:, None, None]

    def colour(self, latents: Tensor) -> Tensor:
        """``whiten`` undone."""
        return latents * self.latent_std[:, None, None] + self.latent_mean[:, None, None]
