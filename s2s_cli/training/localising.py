"""How a localiser learns which places sound: from what is seen and heard together, unlabelled."""

import torch
from torch import Tensor

from s2s_cli import registry
from s2s_cli.audio.spectrogram import FRONT_ENDS
from s2s_cli.chance import Chance
from s2s_cli.data.pairs import Pairing, PairsBy
from s2s_cli.data.shards import Photos, Sounds
from s2s_cli.networks.localiser import Localiser, response
from s2s_cli.training.augmentation import random_crops, random_windows
from s2s_cli.training.loop import Batch, SingleStage
from s2s_cli.training.losses import hard_way
from s2s_cli.training.processes import gathered
from s2s_cli.training.recipe import LocaliserRecipe
from s2s_cli.training.steps import channels_last, exact, go_on_from


class LearnLocaliser(SingleStage):
    """Crops of frames, and the sounds around them."""

    name = "localiser"
    network: Localiser

    def __init__(
        self, recipe: LocaliserRecipe, photos: Photos, sounds: Sounds, pairs_by: PairsBy = "key"
    ) -> None:
        """photos: at least as large as the network's ``picture_px``."""
        self.recipe, self.plan, self.photos, self.sounds = recipe, recipe.plan, photos, sounds
        self.pairing = Pairing(sounds.keys, photos.keys, pairs_by)
        self.weights = self.pairing.weigh(torch.ones(len(sounds), dtype=torch.double))
        self.network = channels_last(Localiser(recipe.network))
        go_on_from(recipe.image_from, registry.IMAGE_ENCODER, self.network.image)
        heard = recipe.network.audio
        self.samples_heard = round(heard.seconds * heard.sample_rate)

    def draw(self, chance: Chance) -> Batch:
        """Sounds, and one photo of each."""
        chosen = chance.items(self.weights, self.share(chance))
        photos = self.photos.take(self.pairing.partners(chosen, chance))
        return {
            "pictures": random_crops(photos, self.recipe.network.image.picture_px, chance),
            "waves": random_windows(self.sounds.take(chosen), self.samples_heard, chance),
        }

    def losses(self, batch: Batch, chance: Chance) -> dict[str, Tensor]:  # noqa: ARG002
        """Every sound with every picture. ``found`` is how often its own one answers it best."""
        with exact(batch["waves"].device):
            spectrograms = FRONT_ENDS[self.recipe.network.audio.front_end](batch["waves"])
        pictures = batch["pictures"].contiguous(memory_format=torch.channels_last)
        maps = gathered(self.network.maps(pictures))
        heard = gathered(self.network.hear(spectrograms))
        with exact(heard.device):
            similarity = torch.einsum("sc,pchw->sphw", heard, maps)
            loss = hard_way(similarity, self.recipe.temperature)
        best = response(similarity).argmax(dim=1)
        right = torch.arange(len(best), device=best.device)
        return {"loss": loss, "found": (best == right).float().mean()}
