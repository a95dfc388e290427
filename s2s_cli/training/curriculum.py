"""A whole recipe: its stages in their order, each resumed where it was left."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import nn

from s2s_cli import registry
from s2s_cli.data.shards import find_shards, load_photos, load_sounds
from s2s_cli.errors import RecipeError
from s2s_cli.networks.config import to_table
from s2s_cli.networks.flow import Autoencoder, Flow
from s2s_cli.networks.image_encoder import ImageEncoder
from s2s_cli.networks.judge import Judge
from s2s_cli.training.judging import LearnJudge
from s2s_cli.training.loop import Stage, Watch, train
from s2s_cli.training.recipe import JudgingRecipe, Recipe, StyleRecipe
from s2s_cli.training.steps import (
    LearnAudioEncoder,
    LearnAutoencoder,
    LearnGenerator,
    LearnImageEncoder,
)
from s2s_cli.training.style import LearnStylizer

Network = TypeVar("Network", bound=nn.Module)
AnyRecipe = TypeVar("AnyRecipe", Recipe, StyleRecipe, JudgingRecipe)
AnyStage = TypeVar("AnyStage", bound=Stage)


class OutOfTimeError(Exception):
    """The time budget ended; the run can be taken up again."""


class Curriculum(ABC, Generic[AnyRecipe]):
    """The stages of one recipe over one folder of data, kept in one run folder.

    A stage that is done leaves ``NETWORK.safetensors`` in the run folder and is not learned again;
    one that was interrupted goes on from its checkpoint. The finished model is ``RUN/model``.
    """

    hears = True  # sounds, too

    def __init__(
        self,
        recipe: AnyRecipe,
        data: Path,
        run: Path,
        *,
        device: torch.device,
        watch: Watch,
        budget_s: float = float("inf"),
    ) -> None:
        self.recipe: AnyRecipe = recipe
        self.run, self.device, self.watch = run, device, watch
        self.deadline = time.monotonic() + budget_s
        photo_shards = find_shards(data, recipe.data.photos)
        self.sound_shards = find_shards(data, recipe.data.sounds) if self.hears else []
        run.mkdir(parents=True, exist_ok=True)
        self.settle()  # before the photos, which take their time to decode
        self.photos = load_photos(photo_shards, recipe.data.photo_px).to(device)

    def settle(self) -> None:
        """Keep the recipe with the run, and never mix the stages of two recipes."""
        kept, recipe = self.run / "recipe.json", json.dumps(to_table(self.recipe), indent=1)
        if not kept.exists():
            kept.write_text(recipe, encoding="utf-8")
        elif kept.read_text(encoding="utf-8") != recipe:
            raise RecipeError(
                f"{self.run} holds a run of another recipe (see {kept}): "
                "choose another --out, or delete it."
            )

    @abstractmethod
    def learn(self) -> Path:
        """Everything that is not learned yet. Returns the finished model's folder.

        Raises:
            OutOfTimeError: the budget ended first.
        """

    def finished(self, *names: str) -> Path:
        """The model's folder, made of these networks' files."""
        model = self.run / "model"
        model.mkdir(exist_ok=True)
        for name in names:
            network = registry.load_network(self.run / name)
            registry.save_network(model / name, network, dtype="float16")
        registry.write_sums(model)
        return model

    def begin(self, make: Callable[[], AnyStage]) -> AnyStage:
        """A stage whose first weights follow from the recipe's seed, and touch no other chance."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed)
            return make()

    def train(self, stage: Stage) -> nn.Module:
        """The stage's network, learned."""
        network = train(
            stage,
            self.run,
            seed=self.recipe.seed,
            device=self.device,
            watch=self.watch,
            deadline=self.deadline,
        )
        if network is None:
            raise OutOfTimeError
        return network

    def learned(self, kind: type[Network], name: str, learn: Callable[[], Network]) -> Network:
        """The network from its file, or else learned now and kept there."""
        path = self.run / name
        if not path.exists():
            registry.save_network(path, learn())
        network = registry.load_network(path).to(self.device)
        assert isinstance(network, kind)
        return network


def curriculum_of(
    recipe: Recipe | StyleRecipe | JudgingRecipe,
    data: Path,
    run: Path,
    *,
    device: torch.device,
    watch: Watch,
    budget_s: float = float("inf"),
) -> Curriculum[Recipe] | Curriculum[StyleRecipe] | Curriculum[JudgingRecipe]:
    """The curriculum that a recipe asks for: a model that paints, restyles or judges."""
    if isinstance(recipe, StyleRecipe):
        return StylizerCurriculum(recipe, data, run, device=device, watch=watch, budget_s=budget_s)
    if isinstance(recipe, JudgingRecipe):
        return JudgeCurriculum(recipe, data, run, device=device, watch=watch, budget_s=budget_s)
    return PainterCurriculum(recipe, data, run, device=device, watch=watch, budget_s=budget_s)


class PainterCurriculum(Curriculum[Recipe]):
    """Four stages; the last three look at the first."""

    def learn(self) -> Path:
        """An image encoder, a generator that obeys it, and an audio encoder that speaks for it."""
        self.image_encoder()
        self.autoencoder()
        self.generator()
        self.audio_encoder()
        return self.finished(registry.IMAGE_ENCODER, registry.AUDIO_ENCODER, registry.GENERATOR)

    def image_encoder(self) -> ImageEncoder:
        """Stage 1: pictures alone, without labels."""

        def learn() -> ImageEncoder:
            stage = self.begin(
                lambda: LearnImageEncoder(self.recipe.image_encoder, self.photos.pictures)
            )
            return stage.finish(self.train(stage))

        return self.learned(ImageEncoder, registry.IMAGE_ENCODER, learn)

    def autoencoder(self) -> Autoencoder:
        """Stage 2: pictures alone."""

        def learn() -> Autoencoder:
            stage = self.begin(
                lambda: LearnAutoencoder(self.recipe.autoencoder, self.photos.pictures)
            )
            network = self.train(stage)
            assert isinstance(network, Autoencoder)
            return network

        return self.learned(Autoencoder, "autoencoder.safetensors", learn)

    def generator(self) -> Flow:
        """Stage 3: pictures and the frozen image encoder's features."""

        def learn() -> Flow:
            encoder, autoencoder = self.image_encoder(), self.autoencoder()
            stage = self.begin(
                lambda: LearnGenerator(self.recipe.generator, self.photos, encoder, autoencoder)
            )
            return stage.finish(self.train(stage))

        return self.learned(Flow, registry.GENERATOR, learn)

    def audio_encoder(self) -> nn.Module:
        """Stage 4: sounds, and the frozen image encoder's features."""

        def learn() -> nn.Module:
            encoder = self.image_encoder()
            sounds = load_sounds(self.sound_shards, self.recipe.audio_encoder.network.sample_rate)
            stage = self.begin(
                lambda: LearnAudioEncoder(self.recipe.audio_encoder, self.photos, sounds, encoder)
            )
            return self.train(stage)

        return self.learned(nn.Module, registry.AUDIO_ENCODER, learn)


class StylizerCurriculum(Curriculum[StyleRecipe]):
    """One stage, in which everything learns together."""

    def learn(self) -> Path:
        """A stylizer and its audio encoder."""
        if not (self.run / registry.STYLIZER).exists():
            sounds = load_sounds(self.sound_shards, self.recipe.stylizer.audio.sample_rate)
            stage = self.begin(lambda: LearnStylizer(self.recipe.stylizer, self.photos, sounds))
            learned = self.train(stage)
            registry.save_network(
                self.run / registry.AUDIO_ENCODER, learned.get_submodule("audio_encoder")
            )
            registry.save_network(self.run / registry.STYLIZER, learned.get_submodule("stylizer"))
        return self.finished(registry.AUDIO_ENCODER, registry.STYLIZER)


class JudgeCurriculum(Curriculum[JudgingRecipe]):
    """One stage, on photos alone."""

    hears = False

    def learn(self) -> Path:
        """A judge."""

        def learn() -> Judge:
            network = self.train(self.begin(lambda: LearnJudge(self.recipe.judge, self.photos)))
            assert isinstance(network, Judge)
            return network

        self.learned(Judge, registry.JUDGE, learn)
        return self.finished(registry.JUDGE)
