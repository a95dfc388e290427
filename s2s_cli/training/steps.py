"""What each stage learns: how a batch is drawn and judged."""

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2s_cli.audio.spectrogram import FRONT_ENDS
from s2s_cli.data.pairs import balanced_weights, draw, same_scene, scene_numbers
from s2s_cli.data.shards import Photos, Sounds
from s2s_cli.latents import unit
from s2s_cli.networks.audio_encoder import AudioEncoder
from s2s_cli.networks.flow import Autoencoder, Flow
from s2s_cli.networks.image_encoder import ImageEncoder, scale_pixels
from s2s_cli.training.augmentation import (
    as_pictures,
    random_crops,
    random_masks,
    random_views,
    random_window,
    uniform,
)
from s2s_cli.training.loop import SingleStage
from s2s_cli.training.losses import flow_matching, info_nce, laplacian_l1, vicreg
from s2s_cli.training.recipe import (
    AudioEncoderRecipe,
    AutoencoderRecipe,
    GeneratorRecipe,
    ImageEncoderRecipe,
)

Network = TypeVar("Network", bound=nn.Module)


class LearnImageEncoder(SingleStage):
    """Two views of each photo, one embedding: no labels."""

    name = "image-encoder"

    def __init__(self, recipe: ImageEncoderRecipe, photos: Tensor) -> None:
        """photos: (photos, 3, h, w) uint8."""
        self.recipe, self.plan, self.photos = recipe, recipe.plan, photos
        self.encoder = ImageEncoder(recipe.network)
        self.network = nn.Sequential(self.encoder.trunk, self.expander())

    def expander(self) -> nn.Sequential:
        """The layers behind the feature in which views are compared (VICReg, section 4)."""
        width, features = self.recipe.expander, self.encoder.features
        return nn.Sequential(
            nn.Linear(features, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width, bias=False),
        )

    def losses(self, chance: torch.Generator) -> dict[str, Tensor]:
        """VICReg Eq. 6."""
        recipe, batch = self.recipe, self.plan.batch
        chosen = torch.randint(len(self.photos), (batch,), generator=chance)
        photos = self.photos[chosen.to(self.photos.device)]
        views = torch.cat(
            [random_views(photos, recipe.crop_px, recipe.smallest_crop, chance) for _ in range(2)]
        )
        views = scale_pixels(views).contiguous(memory_format=torch.channels_last)
        first, second = self.network(views).float().chunk(2)
        with exact(views.device):
            parts = vicreg(first, second)
        loss = (
            recipe.invariance * parts["invariance"]
            + recipe.variance * parts["variance"]
            + recipe.covariance * parts["covariance"]
        )
        return {"loss": loss, **parts}

    def finish(self, learned: nn.Module) -> ImageEncoder:
        """The encoder alone, its features standardised over the training photos."""
        self.encoder.trunk.load_state_dict(learned.get_submodule("0").state_dict())
        encoder = self.encoder.to(self.photos.device).eval().requires_grad_(False)
        features = encode_photos(encoder, self.photos)
        encoder.feature_mean.copy_(features.mean(dim=0))
        encoder.feature_std.copy_(features.std(dim=0).clamp_min(1e-3))
        return encoder


class LearnAutoencoder(SingleStage):
    """Pictures through the bottleneck and back."""

    name = "autoencoder"
    network: Autoencoder

    def __init__(self, recipe: AutoencoderRecipe, photos: Tensor) -> None:
        """photos: (photos, 3, h, w) uint8."""
        self.recipe, self.plan, self.photos = recipe, recipe.plan, photos
        self.network = channels_last(Autoencoder(recipe.network))

    def losses(self, chance: torch.Generator) -> dict[str, Tensor]:
        """How far the picture that comes back is from the one that went in, at every scale."""
        chosen = torch.randint(len(self.photos), (self.plan.batch,), generator=chance)
        photos = self.photos[chosen.to(self.photos.device)]
        pictures = random_crops(photos, self.recipe.network.picture_px, chance)
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        latents = self.network.encode(pictures)
        noise = torch.randn(latents.shape, generator=chance).to(latents.device)
        painted = self.network.decode(latents + self.recipe.latent_noise * noise).float()
        loss = laplacian_l1(painted, pictures, self.recipe.pyramid)
        with torch.no_grad():
            psnr_db = 10 * torch.log10(4 / F.mse_loss(painted.clamp(-1, 1), pictures))
        return {"loss": loss, "psnr_db": psnr_db}


class LearnGenerator(SingleStage):
    """A rectified flow from noise to latents, told the features of neighbours."""

    name = "generator"

    def __init__(
        self,
        recipe: GeneratorRecipe,
        photos: Photos,
        encoder: ImageEncoder,
        autoencoder: Autoencoder,
    ) -> None:
        self.recipe, self.plan = recipe, recipe.plan
        self.flow = Flow(recipe.network).to(photos.pictures.device)
        self.flow.autoencoder.load_state_dict(autoencoder.state_dict())
        latents = encode_latents(self.flow.autoencoder, photos.pictures)  # (photos, 4, c, h, w)
        self.flow.latent_mean.copy_(latents.float().mean(dim=(0, 1, 3, 4)))
        self.flow.latent_std.copy_(latents.float().std(dim=(0, 1, 3, 4)))
        self.latents = latents
        self.features = unit(encode_photos(encoder, photos.pictures))
        self.neighbours = nearest(self.features, recipe.neighbours)
        self.weights = balanced_weights(photos.scenes, recipe.evenness)
        self.network = channels_last(self.flow.velocity)

    def losses(self, chance: torch.Generator) -> dict[str, Tensor]:
        """Rectified flow at logit-normal times (arXiv:2403.03206, section 3.1)."""
        recipe, batch, device = self.recipe, self.plan.batch, self.latents.device
        instances = draw(self.weights, batch, chance)
        near = self.neighbours[instances]  # (batch, neighbours); the first is the photo itself
        one = torch.randint(near.shape[1], (batch, 1), generator=chance)
        painted = near.gather(1, one)[:, 0]
        crops = torch.randint(self.latents.shape[1], (batch,), generator=chance)
        latents = self.flow.whiten(self.latents[painted.to(device), crops.to(device)].float())

        # The feature told is the mean of a few neighbours': sounds will point at such means.
        told = torch.randint(1, recipe.blend + 1, (batch, 1), generator=chance)
        order = torch.rand(near.shape, generator=chance).argsort(dim=1)
        share = ((order < told) / told).to(device)  # (batch, neighbours), rows sum to 1
        features = unit((self.features[near.to(device)] * share[:, :, None]).sum(dim=1))
        dropped = (torch.rand(batch, generator=chance) < recipe.drop_feature).to(device)

        noise = torch.randn(latents.shape, generator=chance).to(device)
        time = torch.randn(batch, generator=chance).sigmoid().to(device)
        between = torch.lerp(noise, latents, time[:, None, None, None])
        between = between.contiguous(memory_format=torch.channels_last)
        velocity = self.network(between, time, features, dropped).float()
        return {"loss": flow_matching(velocity, noise, latents)}

    def finish(self, learned: nn.Module) -> Flow:
        """The whole generator."""
        self.flow.velocity.load_state_dict(learned.state_dict())
        return self.flow.eval().requires_grad_(False)


class LearnAudioEncoder(SingleStage):
    """Sounds are taught the features of photos that could go with them."""

    name = "audio-encoder"

    def __init__(
        self, recipe: AudioEncoderRecipe, photos: Photos, sounds: Sounds, encoder: ImageEncoder
    ) -> None:
        self.recipe, self.plan, self.sounds = recipe, recipe.plan, sounds
        names = sorted(set(photos.scenes) & set(sounds.scenes))
        self.photo_scenes = scene_numbers(photos.scenes, names)
        self.sound_scenes = scene_numbers(sounds.scenes, names)
        self.features = unit(encode_photos(encoder, photos.pictures))
        middle = centre(photos.pictures, recipe.close_crop)
        self.approach = unit(encode_photos(encoder, middle)) - self.features
        self.weights = balanced_weights(sounds.scenes, recipe.evenness)
        self.weights[self.sound_scenes < 0] = 0  # a sound without photos teaches nothing
        levels = torch.stack([level_db(wave.float() / 32_768) for wave in sounds.waves])
        self.usual_db = levels.median()
        self.network = channels_last(AudioEncoder(recipe.network))

    def losses(self, chance: torch.Generator) -> dict[str, Tensor]:
        """Sound2Scene Eq. 2 on sounds and on mixtures of two, whose targets are mixed like them.

        Louder sounds have nearer targets. ``pull`` also counts how far each sound is from its own.
        """
        recipe, batch, device = self.recipe, self.plan.batch, self.features.device
        chosen = draw(self.weights, batch, chance)
        # The network averages over time, so a shorter window is the like at less cost.
        window_s = recipe.window_s or recipe.network.seconds
        samples = round(window_s * recipe.network.sample_rate)
        waves = torch.stack(
            [random_window(self.sounds.waves[i], samples, chance) for i in chosen.tolist()]
        )
        gain_db = uniform(batch, -recipe.gain_db, recipe.gain_db, chance)
        waves = waves * 10 ** (gain_db / 20)[:, None]
        scenes = self.sound_scenes[chosen].repeat_interleave(recipe.photos_per_sound)
        photos = same_scene(scenes, self.photo_scenes, chance).to(device)
        louder_db = (level_db(waves) - self.usual_db).clamp(-18, 18).to(device)[:, None]
        nearer = recipe.closeness * louder_db / 12
        whole, approach = (
            values[photos].unflatten(0, (batch, -1)).mean(dim=1)
            for values in (self.features, self.approach)
        )
        targets = unit(whole + nearer * approach)

        # Pairs brought to one level, so that the ratio is what is heard and not how loud they were.
        first = torch.randperm(batch, generator=chance)[: round(recipe.mixed * batch)]
        second = first.roll(1)
        ratio = uniform(len(first), 0.35, 0.65, chance)[:, None]
        levelled = 10 ** ((level_db(waves[first]) - level_db(waves[second])) / 20)[:, None]
        mixed = ratio * waves[first] + (1 - ratio) * levelled * waves[second]

        with exact(device):
            seen = FRONT_ENDS[recipe.network.front_end](torch.cat([waves, mixed]).to(device))
        seen = random_masks(seen, recipe.masks, recipe.mask_share, chance)
        heard = self.network(seen).float()
        ratio, first, second = ratio.to(device), first.to(device), second.to(device)
        between = ratio * targets[first] + (1 - ratio) * targets[second]
        targets = torch.cat([targets, unit(between)])
        with exact(device):
            loss = info_nce(heard, targets, recipe.temperature)
        cosines = F.cosine_similarity(heard, targets)
        loss = loss + recipe.pull * (1 - cosines.mean())
        measures = {"loss": loss, "cosine": cosines[:batch].mean()}
        return measures | ({"mixed": cosines[batch:].mean()} if len(first) else {})


def channels_last(network: Network) -> Network:
    """The memory layout in which convolutions are fastest."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def exact(device: torch.device) -> torch.autocast:
    """Where matrix products shall stay float32: losses compare small differences."""
    return torch.autocast(device.type, enabled=False)


@torch.no_grad()
def encode_photos(encoder: ImageEncoder, photos: Tensor, batch: int = 64) -> Tensor:
    """photos: (photos, 3, h, w) uint8. Returns their features (photos, features), float32."""
    return torch.cat([encoder(as_pictures(part)).float() for part in photos.split(batch)])


@torch.no_grad()
def encode_latents(autoencoder: Autoencoder, photos: Tensor, batch: int = 64) -> Tensor:
    """Latents of four views of each photo: two opposite corners, and the centre both ways round.

    photos: (photos, 3, h, w) uint8. Returns (photos, 4, channels, side, side), float16.
    """
    side = autoencoder.config.picture_px
    low, right = photos.shape[2] - side, photos.shape[3] - side
    latents = []
    for part in photos.split(batch):
        centre = part[:, :, low // 2 :, right // 2 :][:, :, :side, :side]
        views = [part[:, :, :side, :side], part[:, :, low:, right:], centre, centre.flip(3)]
        pictures = as_pictures(torch.cat(views)).contiguous(memory_format=torch.channels_last)
        with torch.autocast(photos.device.type, torch.bfloat16):
            encoded = autoencoder.encode(pictures)
        latents.append(encoded.half().unflatten(0, (4, -1)).transpose(0, 1))
    return torch.cat(latents)


def centre(photos: Tensor, share: float) -> Tensor:
    """The middle of photos (photos, 3, h, w), its sides ``share`` of theirs."""
    high, wide = (round(share * side) for side in photos.shape[2:])
    top, left = (photos.shape[2] - high) // 2, (photos.shape[3] - wide) // 2
    return photos[:, :, top : top + high, left : left + wide]


def level_db(waves: Tensor) -> Tensor:
    """How loud waves (..., samples) are on average, in dB of full scale; silence is -100."""
    return 10 * waves.square().mean(dim=-1).clamp_min(1e-10).log10()


def nearest(features: Tensor, count: int, batch: int = 1024) -> Tensor:
    """The ``count`` nearest rows of each row by cosine, itself first. (rows, count), on the CPU."""
    found = [(part @ features.T).topk(count, dim=1).indices for part in features.split(batch)]
    return torch.cat(found).cpu()
