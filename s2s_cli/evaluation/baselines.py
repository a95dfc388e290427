"""What a stylizer is compared with ("Learning Visual Styles from Audio-Visual Associations", 4.1).

Two label-based methods put the name of a scene in the place of the sound; one restyles by a picture
of the scene instead. The authors train theirs with Word2Vec of the label and take VGG for AdaIN.
Here a label is what the audio encoder hears in the scene's sounds on average, given to the very
stylizer that is measured, and AdaIN works in the latents of a model that paints.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from s2s_cli.errors import DataError
from s2s_cli.latents import unit
from s2s_cli.networks.flow import Autoencoder

EPS = 1e-5  # added to variances, so that a map without any contrast is not divided by nothing


@dataclass(frozen=True)
class Labels:
    """Scenes as features: the mean of what is heard in the sounds of each."""

    scenes: tuple[str, ...]
    features: Tensor  # (scenes, features)

    @classmethod
    def of(cls, features: Tensor, scenes: Sequence[str]) -> "Labels":
        """Learn them.

        Args:
            features: (sounds, features).
            scenes: of each sound.
        """
        names = tuple(sorted(set(scenes)))
        rows = [[scene == name for scene in scenes] for name in names]
        return cls(names, torch.stack([features[torch.tensor(row)].mean(dim=0) for row in rows]))

    def keyword(self, scene: str) -> Tensor:
        """A person says which scene it is. Returns (features,)."""
        if scene not in self.scenes:
            raise DataError(f"No sound of '{scene}' is there to learn from: get its shards.")
        return self.features[self.scenes.index(scene)]

    def class_prediction(self, feature: Tensor) -> Tensor:
        """A classifier guesses the scene: the nearest label by cosine, after centring.

        feature: (features,), of the sound. Returns the guessed label's, (features,).
        """
        centre = self.features.mean(dim=0)
        near = unit(self.features - centre) @ unit(feature - centre)
        return self.features[int(near.argmax())]


def adain(
    autoencoder: Autoencoder, pictures: Tensor, styles: Tensor, strength: float = 1.0
) -> Tensor:
    """Adaptive instance normalisation (arXiv:1703.06868, Eq. 8 and 14): each map takes over the
    mean and the deviation that it has in another picture.

    Args:
        autoencoder: between whose halves it is done.
        pictures: (batch, 3, h, w) in [-1, 1], sides multiples of 8.
        styles: the same shape.
        strength: 0 only encodes and decodes, 1 takes over everything.

    Returns:
        (batch, 3, h, w) in [-1, 1].
    """
    content, style = autoencoder.encode(pictures), autoencoder.encode(styles)
    variance, mean = torch.var_mean(content, dim=(2, 3), keepdim=True)
    style_variance, style_mean = torch.var_mean(style, dim=(2, 3), keepdim=True)
    scale = ((style_variance + EPS) / (variance + EPS)).sqrt()
    restyled = (content - mean) * scale + style_mean
    return autoencoder.decode(torch.lerp(content, restyled, strength)).clamp(-1, 1)
