"""What people are shown: sounds, and what each method makes of them. ``study`` asks about them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from s2s_cli.audio.mixing import limit_peak
from s2s_cli.audio.sound import find_sounds, read_sound
from s2s_cli.chance import Chance
from s2s_cli.data.pairs import Pairing
from s2s_cli.data.shards import Photos, Sounds
from s2s_cli.errors import DataError, ModelError
from s2s_cli.evaluation.control import wave_of
from s2s_cli.evaluation.study import Clip
from s2s_cli.evaluation.style import Pair, Trial, numbers
from s2s_cli.picture.image import Picture, to_uint8
from s2s_cli.studio import Studio

FULL_SCALE = 32_768  # of int16, in which sounds are kept
SEEDS = 2**32  # of pictures: beyond the last comes the first

Method = Callable[[int, int], Picture]  # of the number of a sound, and a seed


def sounds_of_folder(folder: Path, sample_rate: int, seconds: float) -> Sounds:
    """A user's own sound files, each in the folder of its scene; decoded when they are wanted.

    Args:
        folder: with ``SCENE/NAME.wav`` and the like, in any depth below the scene.
        sample_rate: Hz, of the waves.
        seconds: the most of each, from its beginning.

    Raises:
        DataError: the folder is not there, or a sound lies in no scene's folder.
        SoundError: there are no sounds; or, once one is wanted, it cannot be heard.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder '{folder}': give one that holds SCENE/SOUND files.")
    files = find_sounds([folder])
    keys = [path.relative_to(folder).as_posix() for path in files]
    for key in keys:
        if "/" not in key:
            raise DataError(
                f"'{folder / key}' lies in no scene's folder: move it to '{folder}/SCENE/{key}'."
            )

    def decode(number: int) -> Tensor:
        wave = read_sound(files[number], sample_rate=sample_rate, seconds=seconds).wave
        wave, _ = limit_peak(wave)
        kept = np.rint(wave * FULL_SCALE).clip(-FULL_SCALE, FULL_SCALE - 1)
        return torch.from_numpy(kept.astype(np.int16))

    return Sounds(keys, sample_rate, decode)


def spread(scenes: Sequence[str], count: int, seed: int) -> list[int]:
    """So many numbers of sounds, or all there are, drawn by the seed from every scene in turn."""
    order = torch.randperm(len(scenes), generator=Chance(f"spread/{seed}").shared).tolist()
    met: dict[str, int] = {}
    turns = []
    for place, number in enumerate(order):
        turn = met[scenes[number]] = met.get(scenes[number], 0) + 1
        turns.append((turn, place, number))
    return [number for _, _, number in sorted(turns)[:count]]


def require_enough(questions: int, sounds: int) -> None:
    """Ask before anything is painted.

    Raises:
        DataError: there are fewer sounds than questions.
    """
    if questions > sounds:
        raise DataError(
            f"{questions} questions need as many sounds, and {sounds} are there: "
            "ask fewer with --questions."
        )


def by_sound(studio: Studio, sounds: Sounds) -> Method:
    """A model's picture of what it hears."""

    def paint(number: int, seed: int) -> Picture:
        return studio.paint(studio.feature_of(wave_of(sounds.take([number])[0])), seed)

    return paint


def by_photo(studio: Studio, sounds: Sounds, photos: Photos, seed: int) -> Method:
    """A model's picture of what it sees in a photo of the sound's scene, as IC-GAN's are made.

    Args:
        studio: that paints.
        sounds: each of a scene of which there are photos.
        photos: at least one of each scene.
        seed: of the choice of photos.

    Raises:
        ModelError: the model cannot look at pictures.
        DataError: a scene has no photo.
    """
    if studio.model.image_encoder is None:
        raise ModelError(
            f"The model '{studio.model.name}' has no image encoder, so it cannot be told a photo: "
            "name another model with --against."
        )
    pairing = Pairing(sounds.keys, photos.keys, "scene")
    if alone := sorted({sounds.scenes[n] for n in pairing.alone.nonzero()[:, 0].tolist()}):
        raise DataError(
            f"There are no validation photos of {', '.join(alone)} to paint from: "
            "add some, or name another model with --against."
        )
    partners = pairing.partners(torch.arange(len(sounds)), Chance(f"partners/{seed}")).tolist()

    def paint(number: int, seed: int) -> Picture:
        photo = photos.take([partners[number]])[0].permute(1, 2, 0).contiguous().numpy()
        return studio.paint(studio.feature_of_picture(photo), seed)

    return paint


def painted(
    sounds: Sounds, chosen: Sequence[int], methods: Mapping[str, Method], seconds: float, seed: int
) -> Iterator[Clip]:
    """Each sound with a picture of it by every method.

    Each sound has its own seed, counted up, which is the same for all methods: so nobody can know
    a picture again by the noise of another, and methods differ in nothing but what they know.

    Args:
        sounds: to choose from.
        chosen: their numbers.
        methods: by name.
        seconds: how much of a sound the models hear, and so people.
        seed: of the first.
    """
    for place, number in enumerate(chosen):
        own = (seed + place) % SEEDS
        yield clip_of(
            sounds,
            number,
            sounds.keys[number],
            seconds,
            {name: paint(number, own) for name, paint in methods.items()},
        )


def pairs_of(trial: Trial, count: int, seed: int) -> list[Pair]:
    """Sounds of all scenes in turn, no one twice, each with a photo of another scene.

    Raises:
        DataError: there are too few sounds.
    """
    heard = numbers(trial.sounds.scenes, trial.targets)
    require_enough(count, len(heard))
    chance = Chance(f"pairs/{seed}").shared
    others: dict[str, list[int]] = {}  # shuffled photos of other scenes, by the scene heard

    def some(among: Sequence[int]) -> list[int]:
        return [among[place] for place in torch.randperm(len(among), generator=chance).tolist()]

    pairs: list[Pair] = []
    for place in spread([trial.sounds.scenes[number] for number in heard], count, seed):
        sound = heard[place]
        scene = trial.sounds.scenes[sound]
        if scene not in others:
            sources = [source for source in trial.sources if source != scene]
            others[scene] = some(numbers(trial.photos.scenes, sources))
        shown = {pair.photo for pair in pairs}
        photo = next((one for one in others[scene] if one not in shown), others[scene][0])
        style = some(numbers(trial.known_photos.scenes, [scene]))[0]
        pairs.append(Pair(photo, sound, style, scene))
    return pairs


def restyled(trial: Trial, pairs: Sequence[Pair]) -> Iterator[Clip]:
    """A photo in the look of each sound, by the model and by the paper's baselines."""
    seconds = trial.restyler.model.audio_encoder.config.seconds
    for pair in pairs:
        with torch.inference_mode():
            answers = trial.answers(pair)
        pictures = {name: to_uint8(picture.numpy()) for name, picture in answers.items()}
        name = f"{trial.photos.keys[pair.photo]} as {trial.sounds.keys[pair.sound]}"
        yield clip_of(trial.sounds, pair.sound, name, seconds, pictures)


def clip_of(
    sounds: Sounds, number: int, name: str, seconds: float, pictures: Mapping[str, Picture]
) -> Clip:
    """A sound as people hear it, no longer than models do, and the pictures of it."""
    wave = wave_of(sounds.take([number])[0])[: round(seconds * sounds.sample_rate)]
    return Clip(name, sounds.scenes[number], wave, sounds.sample_rate, pictures)
