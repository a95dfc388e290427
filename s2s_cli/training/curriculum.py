"""A whole recipe: its stages in their order, each resumed where it was left."""

import json
import platform
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

import s2s_cli
from s2s_cli import registry
from s2s_cli.data.pairs import Pairing
from s2s_cli.data.shards import (
    PHOTO_SUFFIXES,
    SOUND_SUFFIXES,
    Photos,
    Sounds,
    find_shards,
    fingerprint,
    load_photos,
    load_sounds,
    members_of,
)
from s2s_cli.errors import DataError, ModelError, RecipeError
from s2s_cli.latents import unit
from s2s_cli.networks.audio_encoder import AudioEncoder
from s2s_cli.networks.biggan import BigGAN
from s2s_cli.networks.config import to_table
from s2s_cli.networks.flow import Autoencoder, Flow
from s2s_cli.networks.image_encoder import ImageEncoder
from s2s_cli.networks.judge import Judge
from s2s_cli.networks.localiser import Localiser
from s2s_cli.picture.image import write_atomically
from s2s_cli.training import processes, style
from s2s_cli.training.gan import LearnBigGAN
from s2s_cli.training.journal import RECIPE, file_of
from s2s_cli.training.judging import LearnJudge
from s2s_cli.training.localising import LearnLocaliser
from s2s_cli.training.loop import Stage, Watch, train
from s2s_cli.training.recipe import (
    AnyRecipe,
    BigGANRecipe,
    JudgingRecipe,
    LocalisingRecipe,
    Recipe,
    StyleRecipe,
    recipe_of,
)
from s2s_cli.training.steps import (
    LearnAudioEncoder,
    LearnAutoencoder,
    LearnGenerator,
    LearnImageEncoder,
    SeenPhotos,
    encode_photos,
    nearest,
    weights_for,
)
from s2s_cli.training.style import LearnStylizer
from s2s_cli.training.texture import LearnTexture

Network = TypeVar("Network", bound=nn.Module)
OneRecipe = TypeVar("OneRecipe", Recipe, StyleRecipe, JudgingRecipe, LocalisingRecipe)
AnyStage = TypeVar("AnyStage", bound=Stage)

AUTOENCODER, TEXTURE = "autoencoder.safetensors", "texture.safetensors"
ORIGIN, MODEL = "origin.json", "model"  # in a run's folder


class OutOfTimeError(Exception):
    """The time budget ended; the run can be taken up again."""


class Curriculum(ABC, Generic[OneRecipe]):
    """The stages of one recipe over one folder of data, kept in one run folder.

    A stage that is done leaves ``NETWORK.safetensors`` in the run folder and is not learned again;
    one that was interrupted goes on from its checkpoint. The finished model is ``RUN/model``. With
    several processes all learn the same, and only the first one writes.
    """

    def __init__(
        self,
        recipe: OneRecipe,
        data: str,
        run: Path,
        *,
        device: torch.device,
        watch: Watch,
        budget_s: float = float("inf"),
        only: str | None = None,
        resume: bool = False,
    ) -> None:
        """data: folder or URL; only: the one stage to learn; resume: though the recipe changed."""
        self.recipe: OneRecipe = recipe
        self.data, self.run, self.device, self.watch = data, run, device, watch
        self.deadline = time.monotonic() + budget_s
        self.only = only
        self.photo_shards = find_shards(data, recipe.data.photos)
        self.sound_shards = find_shards(data, recipe.data.sounds) if self.hears else []
        self.require(recipe, data, run)
        if processes.rank() == 0:
            self.settle(resume)
        processes.wait()

    hears = True  # sounds, too

    @classmethod
    def require(cls, recipe: OneRecipe, data: str, run: Path) -> None:
        """Look for all that is needed later, so that nothing is missed after hours of learning.

        Raises:
            DataError, ModelError, RecipeError: something is missing, or does not fit the recipe.
        """

    @cached_property
    def photos(self) -> Photos:
        """What is learned from."""
        return load_photos(self.photo_shards, self.recipe.data.photo_px, self.recipe.data.memory_gb)

    def sounds(self, sample_rate: int) -> Sounds:
        """What is learned from."""
        return load_sounds(self.sound_shards, sample_rate, self.recipe.data.memory_gb)

    def settle(self, resume: bool) -> None:
        """Keep the recipe with the run, and where all came from; never mix two recipes' stages."""
        origin = origin_of(self.photo_shards, self.sound_shards)
        kept, recipe = self.run / RECIPE, json.dumps(to_table(self.recipe), indent=1)
        if kept.exists() and not resume:
            if not self.is_recipe(kept):
                raise RecipeError(
                    f"{self.run} holds a run of another recipe (see {kept}): choose another --out, "
                    "delete it, or go on all the same with --resume."
                )
            before = json.loads((self.run / ORIGIN).read_text(encoding="utf-8"))["data"]
            if before != origin["data"]:
                raise RecipeError(
                    f"{self.run} holds a run on other data: give the same with --data, "
                    "choose another --out, or go on all the same with --resume."
                )
        if not kept.exists() or resume:
            write_atomically(self.run / ORIGIN, json.dumps(origin, indent=1).encode())
            write_atomically(kept, recipe.encode())

    def is_recipe(self, kept: Path) -> bool:
        """Whether a file holds this recipe. Settings that an older s2s did not know are as then."""
        try:
            return recipe_of(json.loads(kept.read_text(encoding="utf-8"))) == self.recipe
        except ValueError:
            return False

    def learn(self) -> Path | None:
        """Everything that is not learned yet, or one stage.

        Returns:
            The finished model's folder; None if ``only`` one stage was learned and others are not.

        Raises:
            OutOfTimeError: the budget ended first.
        """
        if self.only is not None:
            self.lessons[self.only]()
            if not all((self.run / file).exists() for file in self.files):
                return None
        else:
            for learn in self.lessons.values():
                learn()
        model = self.run / MODEL
        if processes.rank() == 0:
            for file in self.files:
                registry.save_network(model / file, self.network_of(file), dtype="float16")
            registry.write_sums(model)
        processes.wait()
        return model

    @property
    @abstractmethod
    def lessons(self) -> dict[str, Callable[[], Any]]:
        """How each stage of the recipe is learned, by its name, in their order."""

    @property
    @abstractmethod
    def files(self) -> Sequence[str]:
        """The networks' files that make the model."""

    def network_of(self, file: str) -> nn.Module:
        """A network of the finished model."""
        return registry.load_network(self.run / file)

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

    def learned(
        self, kind: type[Network], stage: str, file: str, learn: Callable[[], Network]
    ) -> Network:
        """The network from its file, or else learned now and kept there."""
        path = self.run / file
        if not path.exists():
            if self.only not in (None, stage):
                raise RecipeError(
                    f"Stage {self.only} builds on stage {stage}, which {self.run} does not hold: "
                    f"train that first, with --stage {stage}."
                )
            network = learn()
            self.keep(path, network)
        return registry.load_network_as(kind, path).to(self.device)

    def keep(self, path: Path, network: nn.Module) -> None:
        """Write a network's file, once."""
        if processes.rank() == 0:
            registry.save_network(path, network)
        processes.wait()


def origin_of(photo_shards: Sequence[str], sound_shards: Sequence[str]) -> dict[str, Any]:
    """Which code, which data and which machine a run was begun with."""
    folder = Path(s2s_cli.__file__).parent

    def git(*words: str) -> str | None:
        try:
            said = subprocess.run(
                ["git", "-C", folder, *words], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return None  # not in a checkout
        return said.stdout.strip()

    # An installed s2s may lie below somebody else's repository, which says nothing about it.
    ours = git("ls-files", "--error-unmatch", "__init__.py") is not None
    return {
        "s2s": s2s_cli.__version__,
        "git": {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
        if ours
        else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "data": {"photos": fingerprint(photo_shards), "sounds": fingerprint(sound_shards)},
    }


def curriculum_of(recipe: AnyRecipe, data: str, run: Path, **settings: Any) -> Curriculum[Any]:
    """The curriculum that a recipe asks for; ``settings`` are those of ``Curriculum``."""
    for kind, curriculum in CURRICULA.items():
        if isinstance(recipe, kind):
            return curriculum(recipe, data, run, **settings)
    raise TypeError(type(recipe).__name__)


def outline(recipe: AnyRecipe, data: str, run: Path) -> dict[str, Any]:
    """What a run would do, by which ``s2s train --dry-run`` tells it; nothing is written.

    Raises:
        DataError, ModelError, RecipeError: something is missing, or does not fit the recipe.
    """
    counts = {"photos": len(members_of(find_shards(data, recipe.data.photos), PHOTO_SUFFIXES))}
    if CURRICULA[type(recipe)].hears:
        sounds = members_of(find_shards(data, recipe.data.sounds), SOUND_SUFFIXES)
        counts["sounds"] = len(sounds)
    CURRICULA[type(recipe)].require(recipe, data, run)
    stages = []
    for name, plan in recipe.stages.items():
        checkpoint = run / f"{name}.checkpoint"
        done = "done" if file_of(run, name).exists() else "to be learned"
        stages.append(
            {
                "stage": name,
                "steps": plan.steps,
                "batch": plan.batch,
                "learning_rate": plan.learning_rate,
                "parameters": parameters_of(getattr(recipe, name.replace("-", "_")).network),
                "state": "begun" if checkpoint.exists() and done != "done" else done,
            }
        )
    return {"run": str(run), "data": counts, "stages": stages}


def parameters_of(config: Any) -> int:
    """How many weights a network has that learns; none is made for that."""
    return sum(weight.numel() for weight in without_weights(config).parameters())


def without_weights(config: Any) -> nn.Module:
    """A network that takes no memory, for its sizes alone."""
    kind = next(kind for kind, its in registry.families().values() if type(config) is its)
    with torch.device("meta"):
        return kind(config)


def require_pairs(
    data: str, recipe: Recipe, photos: str, sounds: str, what: str, remedy: str
) -> None:
    """Some sound of these shards has a photo that goes with it.

    Raises:
        DataError: none has, or there are no shards.
    """

    def keys(pattern: str, suffixes: tuple[str, ...], kind: str) -> list[str]:
        shards = find_shards(data, pattern, remedy)
        found = [member.key for member in members_of(shards, suffixes)]
        if not found:
            raise DataError(f"The shards {Path(shards[0]).parent} hold no {kind}.")
        return found

    seen, heard = keys(photos, PHOTO_SUFFIXES, "photos"), keys(sounds, SOUND_SUFFIXES, "sounds")
    Pairing(heard, seen, recipe.data.pairs_by).weigh(torch.ones(len(heard)), what)


# Which part of which of another model's files a stage begins with.
BEGINNINGS = {
    "image-encoder": (registry.IMAGE_ENCODER, ""),
    "autoencoder": (registry.GENERATOR, "autoencoder"),
    "generator": (registry.GENERATOR, ""),
    "audio-encoder": (registry.AUDIO_ENCODER, ""),
}


class PainterCurriculum(Curriculum[Recipe]):
    """Five stages at most; generator and audio encoder look at the first."""

    @property
    def lessons(self) -> dict[str, Callable[[], Any]]:
        """Image encoder, a generator that obeys it, and an audio encoder that speaks for it."""
        every = {
            "image-encoder": self.image_encoder,
            "autoencoder": self.autoencoder,
            "texture": self.texture,
            "generator": self.generator,
            "audio-encoder": self.audio_encoder,
        }
        return {name: every[name] for name in self.recipe.stages}

    @property
    def files(self) -> Sequence[str]:
        """Those that are learned here; the others are another model's."""
        learned = {
            registry.IMAGE_ENCODER: self.recipe.image_encoder,
            registry.GENERATOR: self.recipe.generator,
        }
        here = [file for file, recipe in learned.items() if recipe is not None]
        return [registry.AUDIO_ENCODER, *here]

    @classmethod
    def require(cls, recipe: Recipe, data: str, run: Path) -> None:
        """Pairs, also to validate with, and other models' networks, which fit to the own ones."""
        sets = recipe.data
        there = "give the data's folder with --data"
        require_pairs(data, recipe, sets.photos, sets.sounds, "shards", there)
        if recipe.audio_encoder.plan.validate_every:
            unheard = sets.validation_photos, sets.validation_sounds
            skip = "make them too, or set audio-encoder.plan.validate-every = 0"
            require_pairs(data, recipe, *unheard, "validation shards", skip)
        for name in recipe.stages:
            stage = getattr(recipe, name.replace("-", "_"))
            model = getattr(stage, "begin_from", None)
            if model is not None and not file_of(run, name).exists():
                weights_for(without_weights(stage.network), model, *BEGINNINGS[name])

        lengths = {"audio_encoder.network.features is": recipe.audio_encoder.network.features}
        if recipe.image_encoder is not None:
            resnet = recipe.image_encoder.network.resnet
            lengths["image_encoder.network.resnet gives"] = resnet.features
        if recipe.generator is not None:
            lengths["generator.network.features is"] = recipe.generator.network.features
        if (model := recipe.image_encoder_from) is not None:
            lengths[f"the image encoder of {model} gives"] = borrowed_eye(model).features
        if (model := recipe.generator_from) is not None:
            path = registry.find(model) / registry.GENERATOR
            generator = registry.load_network(path)
            if not isinstance(generator, BigGAN | Flow):
                raise ModelError(f"{path} holds another network: get the model again.")
            lengths[f"the generator of {model} takes"] = generator.features
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{place} {length}" for place, length in lengths.items())
            raise RecipeError(
                f"Features must be of one length, but {told}: "
                "change the recipe's, or name other models."
            )

    def learn(self) -> Path | None:
        """As everywhere; what is another model's is copied into the finished one."""
        model = super().learn()
        if model is not None and processes.rank() == 0:
            for file, name in (
                (registry.IMAGE_ENCODER, self.recipe.image_encoder_from),
                (registry.GENERATOR, self.recipe.generator_from),
            ):
                if name is not None:
                    shutil.copyfile(registry.find(name) / file, model / file)
            registry.write_sums(model)
        return model

    def image_encoder(self) -> ImageEncoder:
        """Stage 1: pictures alone, without labels."""
        if self.recipe.image_encoder is None:
            return borrowed_eye(self.recipe.image_encoder_from or "").to(self.device)
        recipe = self.recipe.image_encoder

        def learn() -> ImageEncoder:
            stage = self.begin(lambda: LearnImageEncoder(recipe, self.photos))
            return stage.finish(self.train(stage))

        return self.learned(ImageEncoder, "image-encoder", registry.IMAGE_ENCODER, learn)

    def autoencoder(self) -> Autoencoder:
        """Stage 2: pictures alone."""
        recipe = self.recipe.autoencoder
        assert recipe is not None

        def learn() -> Autoencoder:
            network = self.train(self.begin(lambda: LearnAutoencoder(recipe, self.photos)))
            assert isinstance(network, Autoencoder)
            return network

        return self.learned(Autoencoder, "autoencoder", AUTOENCODER, learn)

    def texture(self) -> Autoencoder:
        """Stage 3, if wanted: pictures alone."""
        recipe = self.recipe.texture
        if recipe is None:
            return self.autoencoder()

        def learn() -> Autoencoder:
            soft = self.autoencoder()
            stage = self.begin(lambda: LearnTexture(recipe, self.photos, soft))
            return stage.finish(self.train(stage))

        return self.learned(Autoencoder, "texture", TEXTURE, learn)

    def generator(self) -> nn.Module:
        """Stage 4: pictures and the frozen image encoder's features."""
        recipe = self.recipe.generator

        def learn() -> nn.Module:
            features = unit(self.features("photos", self.photo_shards, self.photos))
            stage: LearnGenerator | LearnBigGAN
            if isinstance(recipe, BigGANRecipe):
                near = nearest(features, min(recipe.neighbours, len(features)))
                stage = self.begin(lambda: LearnBigGAN(recipe, self.photos, features, near))
            else:
                assert recipe is not None
                flow, autoencoder = recipe, self.texture()
                stage = self.begin(lambda: LearnGenerator(flow, self.photos, features, autoencoder))
            return stage.finish(self.train(stage))

        return self.learned(nn.Module, "generator", registry.GENERATOR, learn)

    def audio_encoder(self) -> AudioEncoder:
        """Stage 5: sounds, and the frozen image encoder's features."""
        recipe = self.recipe.audio_encoder
        data, hertz = self.recipe.data, recipe.network.sample_rate

        def learn() -> AudioEncoder:
            seen, unheard = self.seen("photos", self.photo_shards, self.photos), None
            if recipe.plan.validate_every:
                shards = find_shards(self.data, data.validation_photos)
                photos = load_photos(shards, data.photo_px, data.memory_gb)
                sounds = load_sounds(
                    find_shards(self.data, data.validation_sounds), hertz, data.memory_gb
                )
                unheard = self.seen("validation", shards, photos), sounds
            stage = self.begin(lambda: LearnAudioEncoder(recipe, seen, self.sounds(hertz), unheard))
            network = self.train(stage)
            assert isinstance(network, AudioEncoder)
            return network

        return self.learned(AudioEncoder, "audio-encoder", registry.AUDIO_ENCODER, learn)

    def seen(self, name: str, shards: Sequence[str], photos: Photos) -> SeenPhotos:
        """What sounds are taught: features of length 1, but for L_2 of Table 2 as they are."""
        recipe = self.recipe.audio_encoder
        features = self.features(name, shards, photos)
        if recipe.loss == "l2":
            return SeenPhotos(photos.keys, self.recipe.data.pairs_by, features)
        nearer = None
        if recipe.closeness:
            nearer = unit(self.features(f"{name}-near", shards, photos, recipe.close_crop))
        return SeenPhotos(photos.keys, self.recipe.data.pairs_by, unit(features), nearer)

    def features(
        self, name: str, shards: Sequence[str], photos: Photos, share: float = 1.0
    ) -> Tensor:
        """What the frozen image encoder sees in the shards' photos: (photos, features).

        Computed once, and kept with what it was computed of.
        """
        path = self.run / "features" / f"{name}.safetensors"
        encoder = self.image_encoder()
        model = self.recipe.image_encoder_from
        folder = self.run if model is None else registry.find(model)
        of = {
            "photos": fingerprint(shards),
            "photo_px": photos.side_px,
            "share": share,
            "encoder": registry.sha256(folder / registry.IMAGE_ENCODER),
        }
        kept = kept_features(path, of)
        processes.wait()  # nobody writes before everybody has looked
        if kept is None and processes.rank() == 0:
            features = encode_photos(encoder, photos, share).cpu()
            write_atomically(path, save({"features": features}, {"of": json.dumps(of)}))
        processes.wait()
        kept = kept_features(path, of) if kept is None else kept
        assert kept is not None
        return kept.to(self.device)


def borrowed_eye(model: str) -> ImageEncoder:
    """Another model's image encoder."""
    path = registry.find(model) / registry.IMAGE_ENCODER
    return registry.load_network_as(ImageEncoder, path)


def kept_features(path: Path, of: Mapping[str, Any]) -> Tensor | None:
    """The features in a file, if there is one, whole, and ``of`` this."""
    try:
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("of") == json.dumps(of):
                features: Tensor = file.get_tensor("features")
                return features
    except (OSError, SafetensorError):
        pass
    return None


class StylizerCurriculum(Curriculum[StyleRecipe]):
    """One stage, in which everything learns together."""

    files = (registry.AUDIO_ENCODER, registry.STYLIZER)

    @classmethod
    def require(cls, recipe: StyleRecipe, data: str, run: Path) -> None:  # noqa: ARG003
        """The networks of other models that it builds on."""
        if not file_of(run, "stylizer").exists():
            learns = recipe.stylizer
            if learns.audio_from is not None:
                ears = without_weights(learns.audio)
                weights_for(ears, learns.audio_from, registry.AUDIO_ENCODER)
            if learns.critic_from is not None:
                style.image_encoder(learns)

    @property
    def lessons(self) -> dict[str, Callable[[], Any]]:
        """A stylizer and its audio encoder."""
        return {"stylizer": self.stylizer}

    def stylizer(self) -> None:
        """Both files, the stylizer's last."""
        if (self.run / registry.STYLIZER).exists():
            return
        sounds = self.sounds(self.recipe.stylizer.audio.sample_rate)
        stage = self.begin(
            lambda: LearnStylizer(
                self.recipe.stylizer, self.photos, sounds, self.recipe.data.pairs_by
            )
        )
        learned = self.train(stage)
        self.keep(self.run / registry.AUDIO_ENCODER, learned.get_submodule("audio_encoder"))
        self.keep(self.run / registry.STYLIZER, learned.get_submodule("stylizer"))


class JudgeCurriculum(Curriculum[JudgingRecipe]):
    """One stage, on photos alone."""

    hears = False
    files = (registry.JUDGE,)

    @property
    def lessons(self) -> dict[str, Callable[[], Any]]:
        """A judge."""
        return {"judge": self.judge}

    def judge(self) -> Judge:
        """Its file."""

        def learn() -> Judge:
            network = self.train(self.begin(lambda: LearnJudge(self.recipe.judge, self.photos)))
            assert isinstance(network, Judge)
            return network

        return self.learned(Judge, "judge", registry.JUDGE, learn)


class LocaliserCurriculum(Curriculum[LocalisingRecipe]):
    """One stage, on sounds and the frames around which they were heard."""

    files = (registry.LOCALISER,)

    @classmethod
    def require(cls, recipe: LocalisingRecipe, data: str, run: Path) -> None:  # noqa: ARG003
        """The image encoder that it goes on from."""
        model = recipe.localiser.image_from
        if model is not None and not file_of(run, "localiser").exists():
            image = without_weights(recipe.localiser.network.image)
            weights_for(image, model, registry.IMAGE_ENCODER)

    @property
    def lessons(self) -> dict[str, Callable[[], Any]]:
        """A localiser."""
        return {"localiser": self.localiser}

    def localiser(self) -> Localiser:
        """Its file."""
        recipe = self.recipe.localiser

        def learn() -> Localiser:
            sounds = self.sounds(recipe.network.audio.sample_rate)
            stage = self.begin(
                lambda: LearnLocaliser(recipe, self.photos, sounds, self.recipe.data.pairs_by)
            )
            network = self.train(stage)
            assert isinstance(network, Localiser)
            return network

        return self.learned(Localiser, "localiser", registry.LOCALISER, learn)


CURRICULA: dict[type[AnyRecipe], type[Curriculum[Any]]] = {
    Recipe: PainterCurriculum,
    StyleRecipe: StylizerCurriculum,
    JudgingRecipe: JudgeCurriculum,
    LocalisingRecipe: LocaliserCurriculum,
}
