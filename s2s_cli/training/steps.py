"""What each stage learns: how a batch is drawn and judged."""

from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2s_cli import registry
from s2s_cli.audio.spectrogram import FRONT_ENDS
from s2s_cli.chance import Chance
from s2s_cli.data.pairs import Pairing, PairsBy, balanced_weights, scene_numbers
from s2s_cli.data.shards import Photos, Sounds
from s2s_cli.errors import RecipeError
from s2s_cli.latents import unit
from s2s_cli.networks.audio_encoder import AudioEncoder
from s2s_cli.networks.flow import Autoencoder, Flow, Velocity
from s2s_cli.networks.image_encoder import ImageEncoder, scale_pixels
from s2s_cli.training.augmentation import (
    as_pictures,
    random_crops,
    random_equaliser,
    random_masks,
    random_views,
    random_windows,
)
from s2s_cli.training.loop import Batch, SingleStage
from s2s_cli.training.losses import (
    cosine_nce,
    feature_l2,
    flow_matching,
    info_nce,
    laplacian_l1,
    psnr_db,
    vicreg,
)
from s2s_cli.training.processes import gathered
from s2s_cli.training.recipe import (
    AudioEncoderRecipe,
    AutoencoderRecipe,
    GeneratorRecipe,
    ImageEncoderRecipe,
)

Network = TypeVar("Network", bound=nn.Module)

SHOWN = 16  # pictures on a sheet


class LearnImageEncoder(SingleStage):
    """Two views of each photo, one embedding; and, if wanted, the scene that they show."""

    name = "image-encoder"
    network: nn.ModuleDict

    def __init__(self, recipe: ImageEncoderRecipe, photos: Photos) -> None:
        self.recipe, self.plan, self.photos = recipe, recipe.plan, photos
        self.encoder = ImageEncoder(recipe.network)
        go_on_from(recipe.begin_from, registry.IMAGE_ENCODER, self.encoder)
        self.weights = balanced_weights(photos.scenes, recipe.evenness)
        names = sorted(set(photos.scenes))
        self.scenes = scene_numbers(photos.scenes, names)
        parts = {"trunk": self.encoder.trunk, "expander": self.expander()}
        if recipe.scene_weight:
            parts["head"] = nn.Linear(self.encoder.features, len(names))
        self.network = nn.ModuleDict(parts)

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

    def draw(self, chance: Chance) -> Batch:
        """Photos and their scenes."""
        chosen = chance.items(self.weights, self.share(chance))
        return {"photos": self.photos.take(chosen), "scenes": self.scenes[chosen]}

    def losses(self, batch: Batch, chance: Chance) -> dict[str, Tensor]:
        """VICReg Eq. 6, and the cross-entropy of scenes with smoothed labels (arXiv:1512.00567)."""
        recipe, photos = self.recipe, batch["photos"]
        views = torch.cat(
            [random_views(photos, recipe.crop_px, recipe.smallest_crop, chance) for _ in range(2)]
        )
        views = scale_pixels(views).contiguous(memory_format=torch.channels_last)
        features = self.network["trunk"](views)
        first, second = map(gathered, self.network["expander"](features).float().chunk(2))
        with exact(views.device):
            parts = vicreg(first, second)
        loss = (
            recipe.invariance * parts["invariance"]
            + recipe.variance * parts["variance"]
            + recipe.covariance * parts["covariance"]
        )
        if recipe.scene_weight:
            logits, scenes = self.network["head"](features).float(), batch["scenes"].repeat(2)
            loss = loss + recipe.scene_weight * F.cross_entropy(logits, scenes, label_smoothing=0.1)
            parts["right"] = (logits.argmax(dim=1) == scenes).float().mean()
        return {"loss": loss, **parts}

    def finish(self, learned: nn.Module) -> ImageEncoder:
        """The encoder alone, its features standardised over the training photos."""
        self.encoder.trunk.load_state_dict(learned.get_submodule("trunk").state_dict())
        device = next(learned.parameters()).device
        encoder = self.encoder.to(device).eval().requires_grad_(False)
        encoder.feature_mean.zero_()  # another's, if that was gone on from
        encoder.feature_std.fill_(1.0)
        features = encode_photos(encoder, self.photos)
        encoder.feature_mean.copy_(features.mean(dim=0))
        encoder.feature_std.copy_(features.std(dim=0).clamp_min(1e-3))
        return encoder


class LearnAutoencoder(SingleStage):
    """Pictures through the bottleneck and back."""

    name = "autoencoder"
    network: Autoencoder

    def __init__(self, recipe: AutoencoderRecipe, photos: Photos) -> None:
        self.recipe, self.plan, self.photos = recipe, recipe.plan, photos
        self.network = channels_last(Autoencoder(recipe.network))
        go_on_from(recipe.begin_from, registry.GENERATOR, self.network, "autoencoder")

    def draw(self, chance: Chance) -> Batch:
        """Photos, each as likely."""
        chosen = chance.below(len(self.photos), self.share(chance))
        return {"photos": self.photos.take(chosen)}

    def losses(self, batch: Batch, chance: Chance) -> dict[str, Tensor]:
        """How far the picture that comes back is from the one that went in, at every scale."""
        pictures = random_crops(batch["photos"], self.recipe.network.picture_px, chance)
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        latents = self.network.encode(pictures)
        noise = chance.normal(*latents.shape).to(latents.device)
        painted = self.network.decode(latents + self.recipe.latent_noise * noise).float()
        loss = laplacian_l1(painted, pictures, self.recipe.pyramid)
        return {"loss": loss, "psnr_db": psnr_db(painted, pictures)}

    def samples(self, network: nn.Module) -> tuple[Tensor, int]:
        """Photos over what comes back of them."""
        assert isinstance(network, Autoencoder)
        return there_and_back(network, self.photos)


def there_and_back(autoencoder: Autoencoder, photos: Photos) -> tuple[Tensor, int]:
    """The middles of a few photos over what comes back of them, and how many they are."""
    few = photos.take(range(min(SHOWN // 2, len(photos))))
    side_px = autoencoder.config.picture_px
    low = (photos.side_px - side_px) // 2
    pictures = as_pictures(few[:, :, low : low + side_px, low : low + side_px])
    pictures = pictures.to(next(autoencoder.parameters()).device)
    return torch.cat([pictures, autoencoder.decode(autoencoder.encode(pictures))]), len(few)


class LearnGenerator(SingleStage):
    """A rectified flow from noise to latents, told the features of neighbours."""

    name = "generator"

    def __init__(
        self,
        recipe: GeneratorRecipe,
        photos: Photos,
        features: Tensor,
        autoencoder: Autoencoder,
    ) -> None:
        """features: (photos, features), of length 1."""
        self.recipe, self.plan, self.features = recipe, recipe.plan, features
        self.flow = Flow(recipe.network)
        go_on_from(recipe.begin_from, registry.GENERATOR, self.flow)
        self.flow.to(next(autoencoder.parameters()).device)
        self.flow.autoencoder.load_state_dict(autoencoder.state_dict())
        exactly = recipe.plan.precision == "float32"
        latents = encode_latents(self.flow.autoencoder, photos, exactly)  # (photos, 4, c, h, w)
        self.flow.latent_mean.copy_(latents.float().mean(dim=(0, 1, 3, 4)))
        self.flow.latent_std.copy_(latents.float().std(dim=(0, 1, 3, 4)))
        self.latents = latents
        self.neighbours = nearest(self.features, min(recipe.neighbours, len(features)))
        self.weights = balanced_weights(photos.scenes, recipe.evenness, recipe.favoured)
        self.network = channels_last(self.flow.velocity)

    def draw(self, chance: Chance) -> Batch:
        """Which photos are painted, in which view, and from whose features."""
        count, neighbours = self.share(chance), self.neighbours.shape[1]
        near = self.neighbours[chance.items(self.weights, count)]  # the first is the photo itself
        one = chance.below(neighbours, count, 1)
        # The feature told is the mean of a few neighbours': sounds will point at such means.
        told = 1 + chance.below(min(self.recipe.blend, neighbours), count, 1)
        order = chance.uniform(count, neighbours).argsort(dim=1)
        return {
            "painted": near.gather(1, one)[:, 0],
            "views": chance.below(self.latents.shape[1], count),
            "near": near,  # (count, neighbours)
            "shares": (order < told) / told,  # (count, neighbours), rows sum to 1
            "dropped": chance.uniform(count) < self.recipe.drop_feature,
        }

    def losses(self, batch: Batch, chance: Chance) -> dict[str, Tensor]:
        """Rectified flow at logit-normal times (arXiv:2403.03206, section 3.1)."""
        latents = self.flow.whiten(self.latents[batch["painted"], batch["views"]].float())
        device = latents.device
        near, shares, dropped = batch["near"], batch["shares"], batch["dropped"]
        features = unit((self.features[near] * shares[:, :, None]).sum(dim=1))
        noise = chance.normal(*latents.shape).to(device)
        time = chance.normal(len(latents)).sigmoid().to(device)
        between = torch.lerp(noise, latents, time[:, None, None, None])
        between = between.contiguous(memory_format=torch.channels_last)
        velocity = self.network(between, time, features, dropped).float()
        return {"loss": flow_matching(velocity, noise, latents)}

    def samples(self, network: nn.Module) -> tuple[Tensor, int]:
        """The same noise and features every time."""
        flow = copy(self.flow)
        flow.velocity = cast(Velocity, network)
        return painted_from(flow, self.features), SHOWN // 2

    def finish(self, learned: nn.Module) -> Flow:
        """The whole generator."""
        self.flow.velocity.load_state_dict(learned.state_dict())
        return self.flow.eval().requires_grad_(False)


class LearnAudioEncoder(SingleStage):
    """Sounds are taught the features of photos that could go with them."""

    name = "audio-encoder"
    network: AudioEncoder

    def __init__(
        self,
        recipe: AudioEncoderRecipe,
        seen: "SeenPhotos",
        sounds: Sounds,
        unheard: "tuple[SeenPhotos, Sounds] | None" = None,
    ) -> None:
        """seen: with nothing to approach where ``recipe.closeness`` is 0.

        unheard: photos and sounds to validate with.
        """
        self.recipe, self.plan, self.sounds = recipe, recipe.plan, sounds
        self.seen, self.unheard = seen, unheard
        if unheard is not None:
            pairing = Pairing(unheard[1].keys, unheard[0].keys, unheard[0].pairs_by)
            pairing.weigh(torch.ones(len(unheard[1])), "validation shards")
        self.pairing = Pairing(sounds.keys, seen.keys, seen.pairs_by)
        self.weights = self.pairing.weigh(balanced_weights(sounds.scenes, recipe.evenness))
        self.usual_db = usual_level_db(sounds, self.weights)
        self.network = channels_last(AudioEncoder(recipe.network))
        go_on_from(recipe.begin_from, registry.AUDIO_ENCODER, self.network)
        # The network averages over time, so a shorter window is the like at less cost.
        window_s = recipe.window_s or recipe.network.seconds
        self.samples_heard = round(window_s * recipe.network.sample_rate)

    def draw(self, chance: Chance) -> Batch:
        """Sounds, others to mix some of them with, and the photos that go with each."""
        count = self.share(chance)
        waves, photos = self.pairs(count, chance)
        others, other_photos = self.pairs(round(self.recipe.mixed * count), chance)
        return {"waves": waves, "photos": photos, "others": others, "other_photos": other_photos}

    def pairs(self, count: int, chance: Chance) -> tuple[Tensor, Tensor]:
        """Windows of sounds (count, samples), and a few photos of each, by number."""
        chosen = chance.items(self.weights, count)
        waves = random_windows(self.sounds.take(chosen), self.samples_heard, chance)
        if self.recipe.equaliser_db:
            waves = random_equaliser(waves, self.recipe.equaliser_db, chance)
        gain_db = chance.uniform(count, low=-self.recipe.gain_db, high=self.recipe.gain_db)
        several = chosen.repeat_interleave(self.recipe.photos_per_sound)
        return waves * 10 ** (gain_db / 20)[:, None], self.pairing.partners(several, chance)

    def losses(self, batch: Batch, chance: Chance) -> dict[str, Tensor]:
        """Sound2Scene Eq. 2 on sounds and on mixtures of two, whose targets are mixed like them.

        Louder sounds have nearer targets. ``pull`` also counts how far each sound is from its own.
        """
        recipe, waves, others = self.recipe, batch["waves"], batch["others"]
        device = waves.device
        targets = self.targets(waves, batch["photos"])

        # Pairs brought to one level, so that the ratio is what is heard and not how loud they were.
        first = spread(len(others), len(waves)).to(device)
        ratio = chance.uniform(len(others), low=0.35, high=0.65).to(device)[:, None]
        levelled = 10 ** ((level_db(waves[first]) - level_db(others)) / 20)[:, None]
        mixed = ratio * waves[first] + (1 - ratio) * levelled * others
        other_targets = self.targets(others, batch["other_photos"])
        between = unit(torch.lerp(other_targets, targets[first], ratio))

        seen = [self.spectrograms(some, chance) for some in (waves, mixed) if len(some)]
        heard = self.network(torch.cat(seen)).float()
        targets = torch.cat([targets, between])
        with exact(device):
            loss = self.alignment(gathered(heard), gathered(targets))
        cosines = F.cosine_similarity(heard, targets)
        loss = loss + recipe.pull * (1 - cosines.mean())
        measures = {"loss": loss, "cosine": cosines[: len(waves)].mean()}
        return measures | ({"mixed": cosines[len(waves) :].mean()} if len(others) else {})

    def targets(self, waves: Tensor, photos: Tensor) -> Tensor:
        """What sounds are taught, (waves, features), louder ones nearer views of their photos."""
        louder_db = (level_db(waves) - self.usual_db).clamp(-18, 18)[:, None]
        return self.seen.targets(photos, len(waves), self.recipe.closeness * louder_db / 12)

    def spectrograms(self, waves: Tensor, chance: Chance) -> Tensor:
        """What is heard, with bands hidden: (waves, frequencies, frames)."""
        with exact(waves.device):
            seen = FRONT_ENDS[self.recipe.network.front_end](waves)
        return random_masks(seen, self.recipe.masks, self.recipe.mask_share, chance)

    def alignment(self, heard: Tensor, targets: Tensor) -> Tensor:
        """Eq. 2, or what stands in its place in Table 2. Both: (items, features)."""
        if self.recipe.loss == "l2":
            return feature_l2(heard, targets)
        if self.recipe.loss == "nce":
            return cosine_nce(heard, targets, self.recipe.temperature)
        return info_nce(heard, targets, self.recipe.temperature)

    @torch.no_grad()
    def validation_loss(self, network: nn.Module) -> float:
        """The loss over sounds that are never learned from, in batches of the plan's size."""
        if self.unheard is None:
            raise RecipeError("There is nothing to validate with: set plan.validate_every = 0.")
        seen, sounds = self.unheard
        config = self.recipe.network
        pairing = Pairing(sounds.keys, seen.keys, seen.pairs_by)
        numbers = (~pairing.alone).nonzero()[:, 0]
        # The same pairs every time, and neighbours in a shard apart, which may be of one video.
        chance = Chance("validation")
        numbers = numbers[torch.randperm(len(numbers), generator=chance.shared)]
        losses = []
        for some in numbers.split(self.plan.batch):
            waves = random_windows(sounds.take(some), self.samples_heard, chance)
            several = some.repeat_interleave(self.recipe.photos_per_sound)
            device = seen.features.device
            photos = pairing.partners(several, chance).to(device)
            targets = seen.targets(photos, len(some), torch.zeros(len(some), 1, device=device))
            heard = network(FRONT_ENDS[config.front_end](waves.to(device))).float()
            losses.append(self.alignment(heard, targets) * len(some))
        return (torch.stack(losses).sum() / len(numbers)).item()


class SeenPhotos:
    """What the frozen image encoder sees in photos: the only thing that sounds are taught."""

    def __init__(
        self, keys: Sequence[str], pairs_by: PairsBy, features: Tensor, nearer: Tensor | None = None
    ) -> None:
        """features, nearer: (photos, features): of photos, and of their middles where that counts.

        Length is told by Eq. 2 to be 1; L_2 of Table 2 compares features as they are.
        """
        self.keys, self.pairs_by, self.features = keys, pairs_by, features
        self.approach = None if nearer is None else nearer - features

    def targets(self, photos: Tensor, sounds: int, nearer: Tensor) -> Tensor:
        """Mean features of a few photos each, (sounds, features).

        Args:
            photos: (sounds * a few,) numbers.
            sounds: how many there are.
            nearer: (sounds, 1), how far towards the middles.
        """
        if len(photos) == sounds and self.approach is None:
            return self.features[photos]
        several = len(photos) // max(1, sounds)  # there may be no sounds, of mixtures
        targets = self.features[photos].unflatten(0, (sounds, several)).mean(dim=1)
        if self.approach is not None:
            approach = self.approach[photos].unflatten(0, (sounds, several))
            targets = targets + nearer * approach.mean(dim=1)
        return unit(targets)


def spread(few: int, many: int) -> Tensor:
    """``few`` places among ``many``, evenly apart: of half a batch, half as many of the same."""
    return (torch.arange(1, few + 1) * many) // max(1, few) - 1


def usual_level_db(sounds: Sounds, weights: Tensor, most: int = 1000) -> Tensor:
    """The median level of sounds that can be drawn, from so many of them at most."""
    numbers = (weights > 0).nonzero()[:, 0]
    some = numbers[:: -(-len(numbers) // most)]
    levels = torch.stack([level_db(wave.float() / 32_768) for wave in sounds.take(some)])
    usual: Tensor = levels.median()
    return usual


def go_on_from(model: str | None, file: str, network: nn.Module, part: str = "") -> None:
    """Begin with the weights of another model's network, or of a part of it; None = as it is.

    Raises:
        ModelError: there is no such model, or it cannot be read.
        RecipeError: that is another network.
    """
    if model is not None:
        network.load_state_dict(weights_for(network, model, file, part))


def weights_for(network: nn.Module, model: str, file: str, part: str = "") -> dict[str, Tensor]:
    """Another model's weights that a network could begin with; it stays as it is.

    Args:
        network: on any device, the one without memory ("meta") included.
        model: a name or a folder.
        file: of that model.
        part: of the network in it, "" for all.

    Raises:
        ModelError: there is no such model, or it cannot be read.
        RecipeError: that is another network.
    """
    other = registry.load_network(registry.find(model) / file)
    with suppress(AttributeError):  # it has no such part
        weights: dict[str, Tensor] = other.get_submodule(part).state_dict()
        wanted = network.state_dict()
        if front_end(other) == front_end(network) and {
            name: weight.shape for name, weight in weights.items()
        } == {name: weight.shape for name, weight in wanted.items()}:
            return weights
    raise RecipeError(
        f"The {file} of {model} is another network than the recipe's, so it cannot be gone on "
        "from: give that the same settings, or begin from scratch."
    )


def front_end(network: nn.Module) -> str | None:
    """What an audio encoder is given, which its weights do not show; None of other networks."""
    name: str | None = getattr(getattr(network, "config", None), "front_end", None)
    return name


def channels_last(network: Network) -> Network:
    """The memory layout in which convolutions are fastest."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def exact(device: torch.device) -> torch.autocast:
    """Where matrix products shall stay float32: losses compare small differences."""
    return torch.autocast(device.type, enabled=False)


@torch.no_grad()
def encode_photos(
    encoder: nn.Module, photos: Photos, share: float = 1.0, batch: int = 64
) -> Tensor:
    """What an image encoder sees in photos, or in their middles: (photos, features), float32.

    share: side of the middle, as a share of the photo's.
    """
    device = next((weight.device for weight in encoder.parameters()), torch.device("cpu"))
    return torch.cat(
        [
            encoder(as_pictures(centre(part.to(device), share))).float()
            for part in photos.parts(batch)
        ]
    )


@torch.no_grad()
def encode_latents(
    autoencoder: Autoencoder, photos: Photos, exactly: bool = False, batch: int = 64
) -> Tensor:
    """Latents of four views of each photo: two opposite corners, and the centre both ways round.

    exactly: in float32, and not in bfloat16.

    Returns (photos, 4, channels, side, side), float16.
    """
    side, device = autoencoder.config.picture_px, next(autoencoder.parameters()).device
    low = photos.side_px - side
    latents = []
    for part in photos.parts(batch):
        part = part.to(device)
        middle = part[:, :, low // 2 :, low // 2 :][:, :, :side, :side]
        views = [part[:, :, :side, :side], part[:, :, low:, low:], middle, middle.flip(3)]
        pictures = as_pictures(torch.cat(views)).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=not exactly):
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


def painted_from(generator: Flow, features: Tensor) -> Tensor:
    """A few pictures from features that lie far apart in the list, each with its own seed."""
    numbers = torch.linspace(0, len(features) - 1, SHOWN).long()
    return generator.paint(generator.noise(range(SHOWN)), features[numbers.to(features.device)])
