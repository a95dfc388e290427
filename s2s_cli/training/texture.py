"""How the pictures of a finished autoencoder get their grain.

What is told to be near the photo at every place paints the mean of all that it could be there: a
soft picture. A discriminator of patches asks for one of them instead, as in VQGAN
(arXiv:2012.09841). The encoder stays as it is, and so do the latents in which a flow paints.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn

from s2s_cli.chance import Chance
from s2s_cli.data.shards import Photos
from s2s_cli.networks.discriminators import trunk
from s2s_cli.networks.flow import Autoencoder
from s2s_cli.training.augmentation import random_crops
from s2s_cli.training.loop import Batch, Lesson, LoneStage
from s2s_cli.training.losses import hinge_discriminator, hinge_generator, laplacian_l1, psnr_db
from s2s_cli.training.recipe import TextureRecipe
from s2s_cli.training.state import Learner
from s2s_cli.training.steps import channels_last, there_and_back
from s2s_cli.training.style import frozen


class LearnTexture(LoneStage):
    """A decoder against a discriminator of patches."""

    name = "texture"

    def __init__(self, recipe: TextureRecipe, photos: Photos, autoencoder: Autoencoder) -> None:
        """autoencoder: what is gone on from; it stays as it is."""
        self.recipe, self.plan, self.photos = recipe, recipe.plan, photos
        self.autoencoder = channels_last(deepcopy(autoencoder).eval())
        decoder = deepcopy(self.autoencoder.decoder).train().requires_grad_(True)
        score = nn.Conv2d(recipe.critic_widths[-1], 1, 4, padding=1)
        critic = channels_last(nn.Sequential(trunk(3, recipe.critic_widths), score))
        self.network = nn.ModuleDict({"decoder": decoder, "critic": critic})

    @property
    def learners(self) -> Mapping[str, Learner]:
        """Two optimisers."""
        return {
            "decoder": Learner(self.network["decoder"], self.plan.pace),
            "critic": Learner(self.network["critic"], self.recipe.critic_pace),
        }

    def draw(self, chance: Chance) -> Batch:
        """Photos, each as likely."""
        return {"photos": self.photos.take(chance.below(len(self.photos), self.share(chance)))}

    def lessons(self, batch: Batch, chance: Chance) -> Iterator[Lesson]:
        """Teach the discriminator, then the decoder, with what it painted before."""
        recipe, critic = self.recipe, self.network["critic"]
        pictures = random_crops(batch["photos"], recipe.network.picture_px, chance)
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            latents = self.autoencoder.encode(pictures)
        noise = chance.normal(*latents.shape).to(latents.device)
        painted = self.network["decoder"](latents + recipe.latent_noise * noise).float()

        real, fake = (critic(some).float() for some in (pictures, painted.detach()))
        loss = hinge_discriminator(real, fake)
        right = torch.cat([real > 0, fake < 0]).float().mean()
        yield Lesson(loss, ("critic",), {"critic": loss, "told_apart": right})

        with frozen(critic):
            deceived = hinge_generator(critic(painted).float())
        likeness = laplacian_l1(painted, pictures, recipe.pyramid)
        gradient = balanced(likeness, deceived, painted, recipe.weight)
        measures = {"loss": likeness, "deceived": deceived, "psnr_db": psnr_db(painted, pictures)}
        yield Lesson((painted * gradient).sum(), ("decoder",), measures)

    def samples(self, network: nn.Module) -> tuple[Tensor, int]:
        """Photos over what comes back of them."""
        return there_and_back(self.finish(network), self.photos)

    def finish(self, learned: nn.Module) -> Autoencoder:
        """The autoencoder, its decoder moved towards what was learned; that stays as it is."""
        finished = deepcopy(self.autoencoder)
        theirs = learned.get_submodule("decoder").state_dict()
        for name, weight in finished.decoder.state_dict().items():
            weight.lerp_(theirs[name], self.recipe.share)
        return finished.eval().requires_grad_(False)


def balanced(likeness: Tensor, deceived: Tensor, painted: Tensor, weight: float) -> Tensor:
    """Where both losses together push the pictures.

    How steep a discriminator is changes as it learns. So in each picture its gradient is brought
    to ``weight`` times the length of the other's (after VQGAN's Eq. 7, which compares them at the
    last layer).

    Returns:
        As ``painted``, (batch, 3, h, w).
    """
    near, real = (torch.autograd.grad(loss, painted)[0] for loss in (likeness, deceived))
    lengths = [part.flatten(1).norm(dim=1)[:, None, None, None] for part in (near, real)]
    both: Tensor = near + weight * lengths[0] / lengths[1].clamp_min(1e-12) * real
    return both
