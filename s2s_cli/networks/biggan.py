"""The paper's generator: IC-GAN's BigGAN, a picture from noise and an image feature.

Architecture: BigGAN (arXiv:1809.11096) conditioned on an instance's feature instead of a class
(IC-GAN, arXiv:2109.05070). Parameter names are those of the published checkpoints, so that
``fold_spectral_norm`` of such a file loads strictly. It paints with weights that are divided by
their spectral norm already; while it learns, ``spectral.normalise`` divides them on every call.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2s_cli.latents import seeded_noise, unit
from s2s_cli.networks.hardware import Precision

BOTTOM_PX = 4  # side of the first feature map; every block doubles it
# Up to this side a CPU spends most of a convolution rearranging its large weights for few pixels,
# so one matrix product over gathered patches is 2 to 5 times as fast (measured at batch 1).
COARSE_PX = 16
OUTPUT_EPS = 1e-5  # of the last normalisation, which the checkpoints never configure
MOMENTUM = 0.1  # share of the newest batch in the stored statistics

SEARCH_RATE = 0.05  # step of an inversion, in deviations of noise and feature
CANDIDATES = 7  # seeds to begin an inversion from
UNLIKELY = 0.02  # what a noise's mean square costs, beside pixels and features that cost 0 to 2


@dataclass(frozen=True)
class BigGANConfig:
    """Sizes of the generator. The defaults are IC-GAN's at 128 px."""

    channels: int = 96  # feature maps at full size
    multipliers: tuple[int, ...] = (16, 16, 8, 4, 2, 1)  # of ``channels``, coarse to fine
    attention_px: tuple[int, ...] = (64,)  # feature maps of these sides attend to themselves
    slot: int = 20  # numbers of noise that each scale receives
    features: int = 2048  # length of the image encoder's feature
    condition: int = 512  # what the feature is condensed to for all blocks
    bn_eps: float = 1e-5

    @property
    def blocks(self) -> int:
        """How often the picture doubles its side."""
        return len(self.multipliers) - 1

    @property
    def picture_px(self) -> int:
        """Side of the picture in pixels."""
        return BOTTOM_PX << self.blocks

    @property
    def dim_z(self) -> int:
        """Length of the whole noise: one slot for the first map and one for each block."""
        return self.slot * (self.blocks + 1)


def published_128() -> BigGANConfig:
    """icgan_biggan_imagenet_res128: noise 120 = 6 slots of 20."""
    return BigGANConfig()


def published_256() -> BigGANConfig:
    """icgan_biggan_imagenet_res256: it asks for noise 120, of which 7 slots of 17 use 119."""
    return BigGANConfig(multipliers=(16, 16, 8, 8, 4, 2, 1), slot=120 // 7)


def fold_spectral_norm(state: Mapping[str, Tensor], eps: float = 1e-6) -> dict[str, Tensor]:
    """Divide every spectrally normalised weight by its norm, once and for all.

    The published networks estimate each weight's largest singular value on every call, by one
    power step from the stored row vector ``u0`` which evaluation never changes: a constant.

    Args:
        state: a checkpoint's tensors; ``NAME.weight`` is normalised where ``NAME.u0`` exists.
        eps: smallest length by which the power step divides (SN_eps of the checkpoint's config).

    Returns:
        The plain weights, without ``u0`` and ``sv0``.
    """
    folded = {}
    for key, value in state.items():
        name, _, kind = key.rpartition(".")
        if kind in ("u0", "sv0"):
            continue
        if kind == "weight" and f"{name}.u0" in state:
            matrix = value.flatten(1)  # (outputs, inputs * kernel)
            right = F.normalize(state[f"{name}.u0"] @ matrix, eps=eps)  # (1, inputs * kernel)
            stretched = right @ matrix.T  # (1, outputs)
            value = value / (stretched @ F.normalize(stretched, eps=eps).T).squeeze()
        folded[key] = value
    return folded


class Conv(nn.Conv2d):
    """A size-keeping convolution that multiplies matrices where a CPU is faster at that."""

    def __init__(self, channels: int, out_channels: int, kernel: int, bias: bool = True) -> None:
        super().__init__(channels, out_channels, kernel, padding=kernel // 2, bias=bias)
        # Channels last: patches can be gathered, and weights flattened, without rearranging.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, h, w), channels last. Returns (batch, out_channels, h, w)."""
        side = x.shape[-1]
        kernel = self.kernel_size[0]
        # Nor does it pay while learning: from batches, and backwards, it is several times slower.
        if kernel > 1 and (side > COARSE_PX or x.device.type != "cpu" or self.training):
            return super().forward(x)
        x = x.permute(0, 2, 3, 1)  # (batch, h, w, channels)
        if kernel > 1:
            border = kernel // 2
            x = F.pad(x, (0, 0, border, border, border, border))
            patches = x.unfold(1, kernel, 1).unfold(2, kernel, 1)  # (batch, h, w, channels, k, k)
            x = patches.permute(0, 1, 2, 4, 5, 3).flatten(3)  # (batch, h, w, k * k * channels)
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)  # a view: the weight is channels last
        return F.linear(x, weight, self.bias).permute(0, 3, 1, 2)


def own(statistics: Tensor) -> Tensor:
    """Of one process alone."""
    return statistics


class BatchNorm(nn.Module):
    """Mean and variance by which maps are normalised: a batch's own to learn, the stored to paint.

    They are float32, and stored as ``torch.nn.BatchNorm2d`` does it.
    """

    stored_mean: Tensor
    stored_var: Tensor

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps, self.momentum = eps, MOMENTUM
        self.share: Callable[[Tensor], Tensor] = own
        self.processes = 1
        self.register_buffer("stored_mean", torch.zeros(channels))
        self.register_buffer("stored_var", torch.ones(channels))

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: (batch, channels, h, w). Returns mean and variance of each map, (channels,)."""
        if not self.training:
            return self.stored_mean, self.stored_var
        wide = x.float()
        mean = self.share(wide.mean(dim=(0, 2, 3)))
        variance = self.share((wide - mean[:, None, None]).square().mean(dim=(0, 2, 3)))
        values = self.processes * x.numel() / x.shape[1]
        with torch.no_grad():
            self.stored_mean.lerp_(mean, self.momentum)
            self.stored_var.lerp_(variance * values / (values - 1), self.momentum)
        return mean, variance


class ConditionalNorm(BatchNorm):
    """Normalisation, then a gain and a bias that the condition chooses."""

    def __init__(self, channels: int, condition: int, eps: float) -> None:
        super().__init__(channels, eps)
        self.gain = nn.Linear(condition, channels, bias=False)
        self.bias = nn.Linear(condition, channels, bias=False)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x: (batch, channels, h, w); condition: (batch, condition), float32. Same shape as x."""
        # Both steps are affine, so they are one: the large x is touched once, in its own precision.
        mean, variance = self.statistics(x)
        scale = (1 + self.gain(condition)) * (variance + self.eps).rsqrt()
        shift = self.bias(condition) - mean * scale
        scale, shift = scale.to(x.dtype)[..., None, None], shift.to(x.dtype)[..., None, None]
        return torch.addcmul(shift, x, scale)


class Norm(BatchNorm):
    """Normalisation, then a learned gain and bias."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, OUTPUT_EPS)
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, h, w). Same shape."""
        mean, variance = self.statistics(x)
        scale = self.gain * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        scale, shift = scale.to(x.dtype)[:, None, None], shift.to(x.dtype)[:, None, None]
        return torch.addcmul(shift, x, scale)


class GrowBlock(nn.Module):
    """Doubles the side of the feature maps, conditioned twice on the way."""

    def __init__(self, channels: int, out_channels: int, condition: int, eps: float) -> None:
        super().__init__()
        self.bn1 = ConditionalNorm(channels, condition, eps)
        self.conv1 = Conv(channels, out_channels, 3)
        self.bn2 = ConditionalNorm(out_channels, condition, eps)
        self.conv2 = Conv(out_channels, out_channels, 3)
        self.conv_sc = Conv(channels, out_channels, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x: (batch, channels, h, w). Returns (batch, out_channels, 2h, 2w)."""
        # A 1x1 convolution commutes with repeating pixels: before it, a quarter of the work.
        around = F.interpolate(self.conv_sc(x), scale_factor=2)
        x = F.interpolate(self.bn1(x, condition).relu_(), scale_factor=2)
        x = self.bn2(self.conv1(x), condition).relu_()
        out: Tensor = self.conv2(x)
        return out.add_(around)


class Attention(nn.Module):
    """Every place looks at every other at half the resolution (SAGAN, arXiv:1805.08318)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta = Conv(channels, channels // 8, 1, bias=False)
        self.phi = Conv(channels, channels // 8, 1, bias=False)
        self.g = Conv(channels, channels // 2, 1, bias=False)
        self.o = Conv(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.tensor(0.0))

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, h, w). Same shape."""
        asked = self.theta(x).flatten(2).mT  # (batch, h * w, channels / 8)
        offered = F.max_pool2d(self.phi(x), 2).flatten(2)  # (batch, channels / 8, h * w / 4)
        given = F.max_pool2d(self.g(x), 2).flatten(2).mT  # (batch, h * w / 4, channels / 2)
        found = (asked @ offered).softmax(dim=-1) @ given  # (batch, h * w, channels / 2)
        found = self.o(found.mT.reshape(len(x), -1, *x.shape[2:]))
        return torch.addcmul(x, found, self.gamma.to(x.dtype))


def pixel_loss(a: Tensor, b: Tensor) -> Tensor:
    """Mean difference of pictures (batch, 3, h, w) at three sizes. Returns (batch,).

    The smaller sizes let what is nearly in its place count as nearly right.
    """
    sizes = (a - b, F.avg_pool2d(a - b, 4), F.avg_pool2d(a - b, 16))
    return torch.stack([each.abs().mean(dim=(1, 2, 3)) for each in sizes]).mean(dim=0)


class BigGAN(nn.Module):
    """Noise and an image feature become a picture. It paints, until ``train`` lets it learn."""

    def __init__(self, config: BigGANConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.channels * times for times in config.multipliers]
        self.shared_feat = nn.Linear(config.features, config.condition)
        self.linear = nn.Linear(config.slot, widths[0] * BOTTOM_PX**2)
        self.blocks = nn.ModuleList()
        px = BOTTOM_PX
        for width, next_width in pairwise(widths):
            px *= 2
            condition = config.condition + config.slot
            block = GrowBlock(width, next_width, condition, config.bn_eps)
            attention = [Attention(next_width)] if px in config.attention_px else []
            self.blocks.append(nn.ModuleList([block, *attention]))
        self.output_layer = nn.Sequential(Norm(widths[-1]), nn.ReLU(), Conv(widths[-1], 3, 3))
        self.eval()

    @property
    def features(self) -> int:
        """Length of the feature it paints from."""
        return self.config.features

    @property
    def picture_px(self) -> int:
        """Side of the picture in pixels."""
        return self.config.picture_px

    def noise(self, seeds: Sequence[int], truncation: float = 1.0) -> Tensor:
        """One noise per seed, (len(seeds), dim_z), on the CPU; ``truncation`` scales it."""
        return seeded_noise(seeds, (self.config.dim_z,), truncation)

    def set_precision(self, precision: Precision) -> "BigGAN":
        """Convolve in this precision from now on; what steers them stays float32.

        bfloat16 is the faster on CPUs that multiply it in hardware (AMX, AVX512-BF16) and on
        GPUs, and moves a picture by less than 1/255 on average. Going back to float32 does not
        bring back the digits that were dropped: load the model again.
        """
        for module in self.modules():
            if isinstance(module, Conv):
                module.to(getattr(torch, precision))
        return self

    def paint(self, noise: Tensor, feature: Tensor) -> Tensor:
        """Pictures for noise and features.

        Args:
            noise: (batch, dim_z), as ``noise`` gives it.
            feature: (batch, features), any length: IC-GAN was taught on unit vectors, so it is
                scaled to one here.

        Returns:
            (batch, 3, picture_px, picture_px), values in [-1, 1], float32.
        """
        device = self.linear.bias.device
        pictures: Tensor = self(noise.to(device), unit(feature.to(device)))
        return pictures

    def share_norms(self, share: Callable[[Tensor], Tensor] = own, processes: int = 1) -> "BigGAN":
        """Normalise by the statistics of a batch that several processes hold equal parts of.

        Args:
            share: the mean over processes of a tensor, with a gradient.
            processes: how many there are.
        """
        for norm in self.norms:
            norm.share, norm.processes = share, processes
        return self

    @property
    def norms(self) -> Iterator[BatchNorm]:
        """Every batch norm in it."""
        return (module for module in self.modules() if isinstance(module, BatchNorm))

    @torch.no_grad()
    def settle(self, batches: Iterable[tuple[Tensor, Tensor]]) -> "BigGAN":
        """Store the mean statistics of these batches, by which it then paints.

        They fit the weights as they are, where those stored while learning fit the weights of
        many steps before: "standing statistics" (arXiv:1809.11096, appendix C.1).

        Args:
            batches: noise (batch, dim_z) and features (batch, features) of length 1.
        """
        self.train()
        for count, (noise, feature) in enumerate(batches, start=1):
            for norm in self.norms:
                norm.momentum = 1 / count
            self(noise, feature)
        for norm in self.norms:
            norm.momentum = MOMENTUM
        return self.eval()

    @torch.inference_mode(False)
    @torch.enable_grad()
    def invert(
        self,
        pictures: Tensor,
        feature: Tensor,
        see: Callable[[Tensor], Tensor],
        steps: int = 300,
        watch: Callable[[float], None] = lambda _: None,
    ) -> tuple[Tensor, Tensor]:
        """Search for the noise and the feature from which ``paint`` gives these pictures back.

        Adam moves both, from the best of a few noises and from the given feature, until the
        painting looks like the picture, pixel by pixel and to the image encoder. No chance is
        left in it, and a picture does not depend on the others of its batch.

        Args:
            pictures: (batch, 3, picture_px, picture_px) in [-1, 1].
            feature: (batch, features), what the image encoder sees in them; of any length.
            see: the image encoder: (batch, 3, h, w) in [-1, 1] to (batch, features), with a
                gradient.
            steps: of the search.
            watch: told after each step the mean loss of the best so far.

        Returns:
            Noise (batch, dim_z) and features (batch, features) of length 1: the best met.
        """
        device = self.linear.bias.device
        # Copies, because no gradient flows through what was made in inference mode.
        pictures, wanted = pictures.clone().to(device), unit(feature.clone().to(device))

        def loss_of(noise: Tensor, feature: Tensor) -> Tensor:
            painted = self(noise, unit(feature))
            seen = 1 - F.cosine_similarity(see(painted), wanted)
            # Noise stays where the generator was taught: the prior's logarithm, arXiv:1611.05644.
            unlikely = noise.square().mean(dim=1)
            return pixel_loss(painted, pictures) + seen + UNLIKELY * unlikely

        # Scaled to unit variance, so that a step means the same to the feature as to the noise.
        scaled = wanted * math.sqrt(self.config.features)
        noise = self._likeliest_noise(loss_of, scaled).requires_grad_()
        scaled = scaled.clone().requires_grad_()
        best_noise, best_feature = noise.detach().clone(), wanted
        best_loss = pictures.new_full((len(pictures),), math.inf)
        optimiser = torch.optim.Adam([noise, scaled], lr=SEARCH_RATE, betas=(0.9, 0.99))
        for _ in range(steps):
            loss = loss_of(noise, scaled)
            better = (loss < best_loss).detach()
            best_loss = torch.where(better, loss.detach(), best_loss)
            best_noise = torch.where(better[:, None], noise.detach(), best_noise)
            best_feature = torch.where(better[:, None], unit(scaled.detach()), best_feature)
            optimiser.zero_grad()
            loss.sum().backward()
            optimiser.step()
            watch(best_loss.mean().item())
        return best_noise, best_feature

    @torch.no_grad()
    def _likeliest_noise(
        self, loss_of: Callable[[Tensor, Tensor], Tensor], feature: Tensor
    ) -> Tensor:
        """Of no noise and a few seeds the one with the least loss, for each feature."""
        none = torch.zeros(1, self.config.dim_z)
        candidates = torch.cat([none, self.noise(range(CANDIDATES))]).to(feature.device)
        losses = [loss_of(one.expand(len(feature), -1), feature) for one in candidates]
        return candidates[torch.stack(losses).argmin(dim=0)]

    def forward(self, noise: Tensor, feature: Tensor) -> Tensor:
        """noise: (batch, dim_z); feature: (batch, features), unit length. Returns the pictures."""
        condition = self.shared_feat(feature)  # (batch, condition)
        first, *slots = torch.split(noise, self.config.slot, dim=1)
        x = self.linear(first).reshape(len(noise), -1, BOTTOM_PX, BOTTOM_PX)
        # A bias knows where and in which precision its weight is. The weight itself must be read
        # once and no more: while it learns, each reading is a step towards its spectral norm.
        x = x.to(self.output_layer[-1].bias.dtype, memory_format=torch.channels_last)
        for stage, slot in zip(self.blocks, slots, strict=True):
            block, *attention = stage.children()
            x = block(x, torch.cat([condition, slot], dim=1))
            for attend in attention:
                x = attend(x)
        picture: Tensor = self.output_layer(x)
        return picture.float().tanh().contiguous()
