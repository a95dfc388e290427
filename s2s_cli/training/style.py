"""How a stylizer learns ("Learning Visual Styles from Audio-Visual Associations", section 3).

A photo of one scene, restyled by a sound of another, should pass for a photo that occurred with
this sound, and yet be known again place by place.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2s_cli import registry
from s2s_cli.audio.spectrogram import FRONT_ENDS
from s2s_cli.chance import Chance
from s2s_cli.data.pairs import Pairing, PairsBy, balanced_weights, scene_numbers
from s2s_cli.data.shards import Photos, Sounds
from s2s_cli.errors import DataError, RecipeError
from s2s_cli.networks.audio_encoder import AudioEncoder
from s2s_cli.networks.discriminators import (
    Connoisseur,
    PatchGAN,
    StructureHead,
    StructureHeadConfig,
    draw_places,
)
from s2s_cli.networks.image_encoder import ImageEncoder, scale_pixels
from s2s_cli.networks.stylizer import Stylizer
from s2s_cli.training.augmentation import (
    beside,
    first_window,
    random_crops,
    random_windows,
)
from s2s_cli.training.loop import Batch, Lesson, LoneStage
from s2s_cli.training.losses import (
    lsgan_discriminator,
    lsgan_generator,
    moments,
    patch_nce,
    style_statistics,
)
from s2s_cli.training.recipe import StylizerRecipe
from s2s_cli.training.state import Learner
from s2s_cli.training.steps import (
    channels_last,
    exact,
    go_on_from,
    level_db,
    usual_level_db,
)

Network = TypeVar("Network", bound=nn.Module)

SHOWN_PHOTOS, SHOWN_SOUNDS = 4, 5  # on a sheet

LOUD_STILLNESS = 0.1  # how much of the stillness that quiet sounds ask for, loud ones do
LOUDEST_GAIN_DB = 30.0  # a window between two thunders holds noise, which is not made a storm


class LearnStylizer(LoneStage):
    """A stylizer and its audio encoder against a discriminator, with PatchNCE or a cycle."""

    name = "stylizer"

    def __init__(
        self,
        recipe: StylizerRecipe,
        photos: Photos,
        sounds: Sounds,
        pairs_by: PairsBy = "scene",
    ) -> None:
        """photos, sounds: of the recipe's scenes; those of other scenes are never drawn."""
        require_scenes(recipe, photos, sounds)
        self.recipe, self.plan, self.photos, self.sounds = recipe, recipe.plan, photos, sounds
        self.pairing = Pairing(sounds.keys, photos.keys, pairs_by)
        self.source_weights = balanced_weights(photos.scenes, recipe.evenness)
        self.sound_weights = balanced_weights(sounds.scenes, recipe.evenness)
        if recipe.sources:
            self.source_weights[scene_numbers(photos.scenes, recipe.sources) < 0] = 0
        if recipe.targets:
            self.sound_weights[scene_numbers(sounds.scenes, recipe.targets) < 0] = 0
        self.sound_weights = self.pairing.weigh(self.sound_weights)
        self.usual_db = usual_level_db(sounds, self.sound_weights)

        self.stylizer = xavier(Stylizer(recipe.network), recipe.init_gain)
        self.audio_encoder = audio_encoder(recipe)
        if not recipe.audio_learns:
            self.standardise()
        self.critic = critic(recipe)
        # A copy that does not learn, and is no part of what is kept: it is the model's own.
        self.eye = image_encoder(recipe) if recipe.statistics_weight else None
        # Either the head behind PatchNCE, or the second generator of CycleGAN, on the way back.
        self.structure: nn.Module = (
            StructureHead(StructureHeadConfig(recipe.network.nce_channels, recipe.head_width))
            if recipe.structure == "nce"
            else Stylizer(recipe.network)
        )
        xavier(self.structure, recipe.init_gain)
        self.network = channels_last(
            nn.ModuleDict(
                {
                    "stylizer": self.stylizer,
                    "audio_encoder": self.audio_encoder,
                    "critic": self.critic,
                    "structure": self.structure,
                }
            )
        )

    @property
    def learners(self) -> Mapping[str, Learner]:
        """Three optimisers, as published; the audio encoder learns with the stylizer."""
        restyling = nn.ModuleList([self.stylizer])
        if self.recipe.audio_learns:
            restyling.append(self.audio_encoder)
        return {
            "stylizer": Learner(restyling, self.plan.pace),
            "critic": Learner(self.critic, self.recipe.critic_pace),
            "structure": Learner(self.structure, self.recipe.structure_pace),
        }

    def draw(self, chance: Chance) -> Batch:
        """Photos to be restyled, sounds to do it by, and photos that go with these."""
        recipe, count = self.recipe, self.share(chance)
        sources = chance.items(self.source_weights, count)
        chosen = chance.items(self.sound_weights, count)
        waves, loud = self.windows(chosen, chance)
        batch = {
            "sources": self.photos.take(sources),
            "real": self.photos.take(self.matching(chosen, loud, chance)),
            "waves": waves,
            "loud": loud,
            "kinds": self.pairing.sounds[chosen],
        }
        if recipe.statistics_weight:
            several = chosen.repeat_interleave(recipe.photos_per_sound)
            batch["alike"] = self.photos.take(self.pairing.partners(several, chance))
        return batch

    def lessons(self, batch: Batch, chance: Chance) -> Iterator[Lesson]:
        """Teach the discriminator, then the stylizer, with what it painted before (section 3.1)."""
        recipe, loud = self.recipe, batch["loud"]
        sources, real = (self.crops(batch[name], chance) for name in ("sources", "real"))
        with exact(sources.device):
            spectrograms = FRONT_ENDS[recipe.audio.front_end](batch["waves"])

        with torch.set_grad_enabled(recipe.audio_learns):
            features = self.audio_encoder.train(recipe.audio_learns)(spectrograms)
        heard = spectrograms if recipe.critic_from is None else features
        photos = sources
        if recipe.identity_weight:  # both in one batch: half the calls
            photos, features = torch.cat([sources, real]), features.repeat(2, 1)
        maps = self.stylizer.encode(photos, range(len(self.stylizer.encoder)))
        restyled, kept = split(
            self.stylizer.paint(photos, maps[-1], features).float(), len(sources)
        )
        of_sources, of_real = zip(*(split(grid, len(sources)) for grid in maps), strict=True)

        # The discriminator judges first; detach() keeps its lesson out of the stylizer.
        critic = lsgan_discriminator(
            self.critic(real, heard).float(), self.critic(restyled.detach(), heard).float()
        )
        if recipe.mismatch_weight:
            critic = critic + recipe.mismatch_weight * self.mismatch(
                real, heard, batch["kinds"], loud
            )
        yield Lesson(critic, ("critic",), {"critic": critic})

        with frozen(self.critic):
            style = lsgan_generator(self.critic(restyled, heard).float())
        structure = self.structure_loss(restyled, sources, of_sources, chance)
        loss = recipe.adversarial_weight * style + recipe.structure_weight * structure
        measures = {"style": style, "structure": structure}
        if recipe.identity_weight:
            measures["identity"] = self.identity_loss(kept, real, of_real, chance)
            loss = loss + recipe.identity_weight * measures["identity"]
        if self.eye is not None:
            far = style_statistics(self.looked_at(restyled), self.wanted(batch["alike"], chance))
            measures["statistics"] = (loud * far).mean()
            loss = loss + recipe.statistics_weight * measures["statistics"]
        moved = (restyled - sources).square().mean(dim=(1, 2, 3))
        if recipe.stillness:
            held = 1 - (1 - LOUD_STILLNESS) * loud
            loss = loss + recipe.stillness * (held * moved).mean()
        measures |= {"loss": loss, "moved": moved.mean()}
        yield Lesson(loss, ("stylizer", "structure"), measures)

    def samples(self, network: nn.Module) -> tuple[Tensor, int]:
        """The same few photos every time, and beside each what a few sounds make of it."""
        assert isinstance(network, nn.ModuleDict)
        chance, device = Chance("samples"), next(network.parameters()).device
        chosen = chance.items(self.source_weights, SHOWN_PHOTOS)
        sources = self.crops(self.photos.take(chosen).to(device), chance)
        waves, _ = self.windows(chance.items(self.sound_weights, SHOWN_SOUNDS), chance)
        spectrograms = FRONT_ENDS[self.recipe.audio.front_end](waves.to(device))
        features = network["audio_encoder"](spectrograms)
        rows = [sources]
        rows += [
            network["stylizer"](sources, feature.expand(len(sources), -1)) for feature in features
        ]
        return torch.stack(rows, dim=1).flatten(0, 1), len(rows)

    @torch.no_grad()
    def standardise(self) -> None:
        """Bring what the audio encoder says of the sounds to mean 0 and deviation 1.

        Features of an aligned space lie close together, for photos have much in common. A stylizer
        would hear mostly what they have in common.
        """
        samples = round(self.recipe.audio.seconds * self.recipe.audio.sample_rate)
        heard = (self.sound_weights > 0).nonzero()[:, 0]
        waves = torch.stack([first_window(wave, samples) for wave in self.sounds.take(heard)])
        hear = FRONT_ENDS[self.recipe.audio.front_end]
        self.audio_encoder.eval()
        features = torch.cat([self.audio_encoder(hear(some)) for some in waves.split(32)])
        deviation, mean = torch.std_mean(features, dim=0)
        head = self.audio_encoder.head
        head.bias.copy_((head.bias - mean) / deviation)
        head.weight.copy_(head.weight / deviation[:, None])

    def crops(self, photos: Tensor, chance: Chance) -> Tensor:
        """A crop of each of these photos, in [-1, 1]."""
        crops = random_crops(photos, self.recipe.crop_px, chance)
        return crops.contiguous(memory_format=torch.channels_last)

    def windows(self, sounds: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
        """What is heard of these sounds, by number, and how loud it is.

        Returns:
            Waves (batch, samples), and (batch,) from 0, as quiet as ``quiet_db``, to 1.
        """
        recipe = self.recipe
        samples = round(recipe.audio.seconds * recipe.audio.sample_rate)
        recordings = self.sounds.take(sounds)
        waves = (
            torch.stack([first_window(wave, samples) for wave in recordings])
            if recipe.window == "first"
            else random_windows(recordings, samples, chance)
        )
        if recipe.audio.peak:
            loudest = waves.abs().amax(dim=1, keepdim=True)
            waves = waves * torch.where(loudest > 0, recipe.audio.peak / loudest, 1)
        if not recipe.by_loudness:
            return waves, torch.ones(len(waves))
        # Recorded levels differ by scene. Drawn levels do not, so they say nothing but how far.
        drawn_db = chance.uniform(len(waves), low=recipe.quiet_db, high=recipe.loud_db)
        wanted_db = self.usual_db + drawn_db
        gain_db = (wanted_db - level_db(waves)).clamp(max=LOUDEST_GAIN_DB)
        waves = waves * 10 ** (gain_db / 20)[:, None]
        louder_db = level_db(waves) - self.usual_db - recipe.quiet_db
        return waves, (louder_db / (recipe.loud_db - recipe.quiet_db)).clamp(0, 1)

    def matching(self, sounds: Tensor, loud: Tensor, chance: Chance) -> Tensor:
        """A photo that goes with each sound: of its scene if it is loud, any source if quiet.

        So the discriminator itself learns how much of a scene's look a loudness asks for.

        Args:
            sounds: (batch,) numbers.
            loud: (batch,) from 0 to 1: how likely the photo is of the sound's scene.

        Returns:
            (batch,) numbers of photos.
        """
        own = self.pairing.partners(sounds, chance)
        any_source = chance.items(self.source_weights, len(sounds))
        return torch.where(chance.uniform(len(sounds)) < loud, own, any_source)

    def mismatch(self, real: Tensor, heard: Tensor, kinds: Tensor, loud: Tensor) -> Tensor:
        """How well the discriminator knows photos that go with another sound (arXiv:1605.05396).

        Each is shown with its neighbour's sound, and counts by how loud that is, or not at all
        where both are of one scene.
        """
        other = beside(len(kinds)).to(kinds.device)
        wrong = (kinds[other] != kinds) * loud[other]
        scores = self.critic(real, heard[other]).float()
        counted: Tensor = wrong * scores.square().mean(dim=(1, 2, 3))
        return counted.mean() / 2

    def looked_at(self, pictures: Tensor) -> list[Tensor]:
        """Moments of the colours, and of what an image encoder makes of them stage by stage."""
        assert self.eye is not None
        trunk = self.eye.to(pictures.device).trunk
        maps = [(pictures + 1) / 2, *trunk.maps(scale_pixels(pictures))]
        return [moments(grid) for grid in maps]

    @torch.no_grad()
    def wanted(self, photos: Tensor, chance: Chance) -> list[Tensor]:
        """The same, averaged over the few photos that go with each sound."""
        several = self.recipe.photos_per_sound
        return [
            found.unflatten(0, (-1, several)).mean(dim=1)
            for found in self.looked_at(self.crops(photos, chance))
        ]

    def structure_loss(
        self, restyled: Tensor, sources: Tensor, maps: Sequence[Tensor], chance: Chance
    ) -> Tensor:
        """PatchNCE, or how far the photo is that the way back makes of the restyled one."""
        if isinstance(self.structure, StructureHead):
            return self.nce(restyled, maps, chance)
        # Which sound the photo had is not known, so the way back hears none.
        unheard = restyled.new_zeros(len(restyled), self.recipe.network.features)
        back: Tensor = self.structure(restyled, unheard).float()
        return F.l1_loss(back, sources)

    def identity_loss(
        self, kept: Tensor, real: Tensor, maps: Sequence[Tensor], chance: Chance
    ) -> Tensor:
        """The same for photos that go with the sound already; CycleGAN asks for L1 here."""
        if isinstance(self.structure, StructureHead):
            return self.nce(kept, maps, chance)
        return F.l1_loss(kept, real)

    def nce(self, restyled: Tensor, maps: Sequence[Tensor], chance: Chance) -> Tensor:
        """Whether the places of restyled pictures are known again (avstyle Eq. 2 and 3).

        maps: of the photos, behind every layer of the encoder.
        """
        layers = self.recipe.network.nce_layers
        found = self.stylizer.encode(restyled, layers)
        places = draw_places(found, chance.shared, self.recipe.patches)
        queries = self.structure(found, places)
        with torch.no_grad():  # what should be found is given, see patch_nce
            keys = self.structure([maps[layer] for layer in layers], places)
        with exact(restyled.device):
            return patch_nce(
                [query.float() for query in queries],
                [key.float() for key in keys],
                self.recipe.temperature,
            )


def split(batch: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """Its first few, and the others."""
    return batch[:first], batch[first:]


def require_scenes(recipe: StylizerRecipe, photos: Photos, sounds: Sounds) -> None:
    """Every scene of the recipe must be in the data; all that is missing is told at once."""
    faults = [
        f"{what} of {', '.join(missing)}"
        for what, wanted, there in (
            ("photos", (*recipe.sources, *recipe.targets), photos.scenes),
            ("sounds", recipe.targets, sounds.scenes),
        )
        if (missing := sorted(set(wanted) - set(there)))
    ]
    if faults:
        raise DataError(
            f"The shards hold no {' and no '.join(faults)}: "
            "name other scenes in the recipe, or get their shards."
        )


def audio_encoder(recipe: StylizerRecipe) -> AudioEncoder:
    """The recipe's audio encoder, from scratch or with another model's weights to go on from."""
    network = AudioEncoder(recipe.audio)
    go_on_from(recipe.audio_from, registry.AUDIO_ENCODER, network)
    return network


def critic(recipe: StylizerRecipe) -> PatchGAN | Connoisseur:
    """The recipe's discriminator, from scratch or on another model's image encoder."""
    if recipe.critic_from is None:
        return xavier(PatchGAN(recipe.critic), recipe.init_gain)
    return Connoisseur(image_encoder(recipe))


def image_encoder(recipe: StylizerRecipe) -> ImageEncoder:
    """That of the model that the recipe's discriminator goes on from."""
    assert recipe.critic_from is not None
    folder = registry.find(recipe.critic_from)
    encoder = registry.load_network_as(ImageEncoder, folder / registry.IMAGE_ENCODER)
    if encoder.features != recipe.audio.features:
        raise RecipeError(
            f"The image encoder of {recipe.critic_from} has {encoder.features} features, but "
            f"stylizer.audio has {recipe.audio.features}: they must speak of the same."
        )
    return encoder


def xavier(network: Network, gain: float) -> Network:
    """First weights as CUT has them: Xavier-normal, and no bias."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(module.weight, gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """What is computed inside teaches this network nothing, and costs no gradients of it."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
