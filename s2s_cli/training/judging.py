"""How a judge learns to tell scenes apart: from photos and their folders' names, from scratch."""

import torch
import torch.nn.functional as F
from torch import Tensor

from s2s_cli.chance import Chance
from s2s_cli.data.pairs import balanced_weights, scene_numbers
from s2s_cli.data.shards import Photos
from s2s_cli.errors import DataError
from s2s_cli.networks.image_encoder import scale_pixels
from s2s_cli.networks.judge import Judge
from s2s_cli.training.augmentation import beside, random_views
from s2s_cli.training.loop import Batch, SingleStage
from s2s_cli.training.recipe import JudgeRecipe
from s2s_cli.training.steps import channels_last


class LearnJudge(SingleStage):
    """Views of photos, and the scene of each."""

    name = "judge"
    network: Judge

    def __init__(self, recipe: JudgeRecipe, photos: Photos) -> None:
        """photos: of the recipe's scenes; those of other scenes are never drawn."""
        missing = sorted(set(recipe.network.scenes) - set(photos.scenes))
        if missing:
            raise DataError(
                f"The shards hold no photos of {', '.join(missing)}: "
                "name other scenes in the recipe, or get their shards."
            )
        self.recipe, self.plan, self.photos = recipe, recipe.plan, photos
        self.scenes = scene_numbers(photos.scenes, recipe.network.scenes)
        self.weights = balanced_weights(photos.scenes, recipe.evenness)
        self.weights[self.scenes < 0] = 0
        self.network = channels_last(Judge(recipe.network))

    def draw(self, chance: Chance) -> Batch:
        """Photos and their scenes."""
        chosen = chance.items(self.weights, self.share(chance))
        return {"photos": self.photos.take(chosen), "scenes": self.scenes[chosen]}

    def losses(self, batch: Batch, chance: Chance) -> dict[str, Tensor]:
        """Cross-entropy with smoothed labels (arXiv:1512.00567) and mixup (arXiv:1710.09412)."""
        recipe, scenes = self.recipe, batch["scenes"]
        # The trunk takes any size. Seen larger when it judges, things are as large as in crops
        # (arXiv:1906.06423), and small views cost less: so views are not squashed to picture_px.
        views = random_views(batch["photos"], recipe.crop_px, recipe.smallest_crop, chance)

        # Some views are blended with the one beside; the weaker half counts as what it shows.
        other = beside(len(views)).to(views.device)
        blended = chance.uniform(len(views)) < recipe.mixed
        own = torch.where(blended, chance.uniform(len(views), low=0.5), 1).to(views.device)
        views = torch.lerp(views[other], views, own[:, None, None, None])

        views = scale_pixels(views).contiguous(memory_format=torch.channels_last)
        logits = self.network.head(self.network.trunk(views)).float()

        def wrong(truth: Tensor) -> Tensor:
            return F.cross_entropy(
                logits, truth, label_smoothing=recipe.smoothing, reduction="none"
            )

        loss = (own * wrong(scenes) + (1 - own) * wrong(scenes[other])).mean()
        return {"loss": loss, "right": (logits.argmax(dim=1) == scenes).float().mean()}
