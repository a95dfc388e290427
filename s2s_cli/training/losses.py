"""Losses: pure functions of tensors, each with its source."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from s2s_cli.networks.localiser import background, response


def info_nce(audio: Tensor, visual: Tensor, temperature: float = 1.0) -> Tensor:
    """Sound2Scene Eq. 1 and 2: InfoNCE on the L2 distance of unit-norm features, both ways.

    Args:
        audio, visual: (batch, dim); row j of one belongs to row j of the other.
        temperature: the paper has none, which is 1.
    """
    distance = torch.cdist(F.normalize(audio), F.normalize(visual)) / temperature
    return matched(-distance)


def cosine_nce(audio: Tensor, visual: Tensor, temperature: float = 1.0) -> Tensor:
    """The ablation L_nce of Table 2: the same with the cosine in place of the distance."""
    return matched(F.normalize(audio) @ F.normalize(visual).T / temperature)


def matched(scores: Tensor) -> Tensor:
    """Cross-entropy of a square score matrix whose diagonal is right, by rows and by columns."""
    target = torch.arange(len(scores), device=scores.device)
    return (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2


def feature_l2(audio: Tensor, visual: Tensor) -> Tensor:
    """The ablation L_2 of Table 2, in the authors' code the mean squared error of raw features."""
    return F.mse_loss(audio, visual)


def vicreg(first: Tensor, second: Tensor) -> dict[str, Tensor]:
    """Invariance, variance and covariance of two views' embeddings (arXiv:2105.04906, Eq. 1-5).

    Args:
        first, second: (batch, dim), embeddings of two views of the same pictures.

    Returns:
        ``invariance``, ``variance``, ``covariance``, unweighted; the paper weighs them 25, 25, 1.
    """
    return {
        "invariance": F.mse_loss(first, second),
        "variance": (spread_hinge(first) + spread_hinge(second)) / 2,
        "covariance": off_diagonal(first) + off_diagonal(second),
    }


def spread_hinge(embeddings: Tensor) -> Tensor:
    """How far each dimension's deviation falls short of 1, mean over dimensions."""
    return F.relu(1 - (embeddings.var(dim=0) + 1e-4).sqrt()).mean()


def off_diagonal(embeddings: Tensor) -> Tensor:
    """Squared covariances between different dimensions, per dimension."""
    centred = embeddings - embeddings.mean(dim=0)
    covariance = centred.T @ centred / (len(embeddings) - 1)
    squared = covariance.square()
    return (squared.sum() - squared.diagonal().sum()) / embeddings.shape[1]


def laplacian_l1(painted: Tensor, pictures: Tensor, weights: tuple[float, ...]) -> Tensor:
    """L1 between the Laplacian pyramids of two batches, finest level first.

    Args:
        painted, pictures: (batch, 3, h, w); sides divisible by 2 ** (len(weights) - 1).
        weights: one per level; the last weighs the remaining low-pass picture.
    """
    residual = painted - pictures  # the pyramid is linear: one pyramid of the difference will do
    loss = residual.new_zeros(())
    for weight in weights[:-1]:
        low = F.avg_pool2d(residual, 2)
        band = residual - F.interpolate(low, scale_factor=2, mode="nearest")
        loss = loss + weight * band.abs().mean()
        residual = low
    return loss + weights[-1] * residual.abs().mean()


def psnr_db(painted: Tensor, pictures: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of a whole batch, which is watched and not minimised.

    painted, pictures: (batch, 3, h, w); pictures in [-1, 1], and the others clamped to it.
    """
    with torch.no_grad():
        return 10 * torch.log10(4 / F.mse_loss(painted.clamp(-1, 1), pictures))


def flow_matching(velocity: Tensor, noise: Tensor, latents: Tensor) -> Tensor:
    """Rectified flow (arXiv:2209.03003, Eq. 1): from noise to latent in a straight line."""
    return F.mse_loss(velocity, latents - noise)


def lsgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Least squares (arXiv:1611.04076, Eq. 9 with a = 0, b = c = 1), halved as in avstyle's code.

    real, fake: scores of any shape, of what belongs together and of what was made.
    """
    return ((real - 1).square().mean() + fake.square().mean()) / 2


def lsgan_generator(fake: Tensor) -> Tensor:
    """The other side of ``lsgan_discriminator``: what was made should score 1."""
    return (fake - 1).square().mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss (arXiv:1802.05957, Eq. 16): scores above 1, or below -1, are good enough.

    real, fake: scores of any shape, of photos and of what was made.
    """
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """The other side of ``hinge_discriminator`` (Eq. 17): the higher its score, the better."""
    return -fake.mean()


def style_statistics(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """How far the moments of maps are from those wanted (arXiv:1703.06868, Eq. 13).

    There they are VGG's. Ours differ in size from layer to layer, so each layer's squared distance
    is divided by the squared length of what is wanted.

    Args:
        found: one a layer, (batch, numbers), as ``moments`` gives them.
        wanted: the same, of other pictures; they are given no gradient.

    Returns:
        (batch,): the mean over layers.
    """
    distances = []
    for here, there in zip(found, wanted, strict=True):
        far = (here - there.detach()).square().sum(dim=1)
        distances.append(far / (there.detach().square().sum(dim=1) + 1e-6))
    return torch.stack(distances).mean(dim=0)


def moments(maps: Tensor) -> Tensor:
    """Mean and deviation of each map: (batch, channels, h, w) becomes (batch, 2 * channels)."""
    variance, mean = torch.var_mean(maps.float(), dim=(2, 3), correction=0)
    return torch.cat([mean, (variance + 1e-6).sqrt()], dim=1)


def patch_nce(
    restyled: Sequence[Tensor], source: Sequence[Tensor], temperature: float = 0.07
) -> Tensor:
    """PatchNCE (arXiv:2007.15651, Eq. 3; avstyle Eq. 2 and 3): each place should be known again.

    The other places of the same picture are its negatives, never those of another. Eq. 3 sums over
    layers and places; the mean of both, as in the authors' code, does not depend on their number.

    Args:
        restyled: one a layer, (batch, patches, dim), unit vectors of the restyled picture.
        source: the same places of the source, in the same order; they are given no gradient.
        temperature: by which similarities are divided.
    """
    losses = []
    for query, key in zip(restyled, source, strict=True):
        scores = query @ key.detach().mT / temperature  # (batch, patches, patches)
        right = torch.arange(scores.shape[1], device=scores.device).expand(scores.shape[:2])
        losses.append(F.cross_entropy(scores.flatten(0, 1), right.flatten()))
    return torch.stack(losses).mean()


def hard_way(similarity: Tensor, temperature: float = 0.07) -> Tensor:
    """A sound's own picture should answer it, and neither others nor its own background should.

    "Localizing visual sounds the hard way" (arXiv:2104.02691, section 3). The paper takes easy
    negatives over all places and adds all negatives up in one exponent, which a large batch
    satisfies as soon as it is somewhat dissimilar. The authors' code, as this function, gives every
    negative a term of its own, weighs the places of other pictures as those of the own one, and has
    a temperature.

    Args:
        similarity: S, cosines (sounds, pictures, h, w); sound i was recorded with picture i.
        temperature: by which similarities are divided.
    """
    positive = response(similarity)  # (sounds, pictures): P_i on the diagonal, else easy negatives
    own = similarity.diagonal().permute(2, 0, 1)  # (sounds, h, w)
    scores = torch.cat([positive, background(own)[:, None]], dim=1) / temperature
    return F.cross_entropy(scores, torch.arange(len(scores), device=scores.device))
