"""How the paper's generator learns: an instance-conditioned GAN (IC-GAN, arXiv:2109.05070).

Told what the image encoder sees in a photo, the generator should paint what could be any of the
photo's neighbours. The discriminator is told the same, and tells such paintings from the
neighbours. Losses, networks and optimisers are BigGAN's (arXiv:1809.11096).
"""

from collections.abc import Iterator, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from s2s_cli.chance import Chance
from s2s_cli.data.pairs import balanced_weights
from s2s_cli.data.shards import Photos
from s2s_cli.networks.biggan import BigGAN
from s2s_cli.networks.critic import BigGANCritic
from s2s_cli.networks.spectral import baked, normalise
from s2s_cli.training import processes
from s2s_cli.training.augmentation import random_crops
from s2s_cli.training.diffaugment import diffaugment
from s2s_cli.training.loop import Batch, Lesson, LoneStage
from s2s_cli.training.losses import hinge_discriminator, hinge_generator
from s2s_cli.training.recipe import BigGANRecipe
from s2s_cli.training.state import Learner
from s2s_cli.training.steps import exact
from s2s_cli.training.style import frozen

Network = TypeVar("Network", bound=nn.Module)

SETTLING_BATCH = 64  # pictures at most by which the norms settle at once
SHOWN = 4  # instances on a sheet, and paintings of each


class LearnBigGAN(LoneStage):
    """A generator against a discriminator, both told an instance's feature."""

    name = "generator"

    def __init__(
        self, recipe: BigGANRecipe, photos: Photos, features: Tensor, neighbours: Tensor
    ) -> None:
        """Begin with random weights.

        Args:
            recipe: its settings.
            photos: of at least the generator's side; a random square of each is seen.
            features: (photos, features), of length 1. Nothing teaches what made them.
            neighbours: (photos, some), numbers of the photos that are nearest to each.
        """
        self.recipe, self.plan, self.photos = recipe, recipe.plan, photos
        self.features, self.neighbours = features.detach().cpu(), neighbours.cpu()
        self.weights = balanced_weights(photos.scenes, recipe.evenness)
        self.generator = normalise(orthogonal(BigGAN(recipe.network)))
        self.generator.share_norms(processes.averaged, processes.count())
        self.critic = normalise(orthogonal(BigGANCritic(recipe.critic)))
        self.network = nn.ModuleDict({"generator": self.generator, "critic": self.critic})

    @property
    def learners(self) -> Mapping[str, Learner]:
        """Two optimisers, of which the discriminator's is the faster."""
        return {
            "generator": Learner(self.generator, self.plan.pace),
            "critic": Learner(self.critic, self.recipe.critic_pace),
        }

    def draw(self, chance: Chance) -> Batch:
        """Instances and noise for every lesson, and the neighbours that the discriminator sees."""
        count, lessons = self.share(chance), self.recipe.critic_steps + 1
        instances = [chance.items(self.weights, count) for _ in range(lessons)]
        near = [self.neighbours[some] for some in instances[:-1]]
        chosen = [some.gather(1, chance.below(some.shape[1], count, 1))[:, 0] for some in near]
        noise = [chance.normal(count, self.recipe.network.dim_z) for _ in range(lessons)]
        return {
            "features": torch.stack([self.features[some] for some in instances]),
            "noise": torch.stack(noise),
            "photos": torch.stack([self.photos.take(some) for some in chosen]),
        }

    def lessons(self, batch: Batch, chance: Chance) -> Iterator[Lesson]:
        """Teach the discriminator a few times, then the generator (IC-GAN Eq. 1)."""
        *critics, last = zip(batch["noise"], batch["features"], strict=True)
        for photos, (noise, features) in zip(batch["photos"], critics, strict=True):
            real = random_crops(photos, self.recipe.network.picture_px, chance)
            with torch.no_grad():
                fake = self.generator(noise, features)
            # Both in one batch, so that they are judged by the very same weights.
            pictures = torch.cat([self.changed(some, chance) for some in (real, fake)])
            scores = self.critic(pictures, features.repeat(2, 1))
            with exact(scores.device):
                loss = hinge_discriminator(*scores.chunk(2))
            right = scores * scores.new_tensor([1, -1]).repeat_interleave(len(real)) > 0
            yield Lesson(loss, ("critic",), {"critic": loss, "told_apart": right.float().mean()})

        noise, features = last
        with frozen(self.critic):
            fake = self.generator(noise, features)
            loss = hinge_generator(self.critic(self.changed(fake, chance), features))
        yield Lesson(loss, ("generator",), {"loss": loss})

    def changed(self, pictures: Tensor, chance: Chance) -> Tensor:
        """As the discriminator sees them."""
        return diffaugment(pictures, self.recipe.diffaugment, chance)

    def samples(self, network: nn.Module) -> tuple[Tensor, int]:
        """A few paintings of a few instances, one instance a row; the same noise every time."""
        instances = Chance("samples").items(self.weights, SHOWN).repeat_interleave(SHOWN)
        generator = self.finish(network)
        noise = generator.noise(range(SHOWN)).repeat(SHOWN, 1)
        return generator.paint(noise, self.features[instances]), SHOWN

    def finish(self, learned: nn.Module) -> BigGAN:
        """The generator alone, plain and settled; ``learned`` stays as it is.

        learned: the network, or its moving average.
        """
        with torch.device("meta"):
            generator = BigGAN(self.recipe.network)
        generator.load_state_dict(baked(learned.get_submodule("generator")), assign=True)
        return generator.settle(self.settling()).requires_grad_(False)

    def settling(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Noise and features by which the norms settle, always the same."""
        device = next(self.network.parameters()).device
        chance, count = Chance("settling"), min(self.plan.batch, SETTLING_BATCH)
        for _ in range(self.recipe.settling_batches):
            noise = chance.normal(count, self.recipe.network.dim_z)
            features = self.features[chance.items(self.weights, count)]
            yield noise.to(device), features.to(device)


@torch.no_grad()
def orthogonal(network: Network) -> Network:
    """First weights as BigGAN has them: orthogonal matrices."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            # By way of a plain tensor, because kernels with the channels last cannot be flattened.
            module.weight.copy_(nn.init.orthogonal_(torch.empty(module.weight.shape)))
    return network
