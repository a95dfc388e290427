"""Studies that ask people, as both papers did: one page to open in a browser, and its key.

The page is a single file that needs no network and sends nothing. Its sounds and pictures go by ids
that tell nothing; what they are stands in the key, a file beside it that stays at home. Answers are
saved by the page and scored by ``ratings``.
"""

import base64
import hashlib
import html
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from s2s_cli.audio.mixing import limit_peak
from s2s_cli.audio.sound import Wave, encode_wav
from s2s_cli.choices import Kind
from s2s_cli.errors import DataError
from s2s_cli.evaluation.published import MATCH, PREFERENCE
from s2s_cli.evaluation.ratings import ANSWERS_FORMAT, Item, Key, Option
from s2s_cli.picture.image import Picture, resize, write_atomically

PICTURE_PX = 320  # longer side of every picture, whatever painted it, so that size tells nothing
JPEG_QUALITY = 90
MP3_BITS = 64_000  # a second, of one channel: at 16 kHz hard to tell from the recording
MOST_OPTIONS = 9  # each has a key
STUDIO_HZ = 44_100  # of sound at a rate that MP3 does not know
OPTIONS = {Kind.PREFERENCE: PREFERENCE.options, Kind.MATCH: MATCH.options}
METHODS = {Kind.PREFERENCE: "exactly two methods", Kind.MATCH: "exactly one method"}


@dataclass(frozen=True)
class Clip:
    """A sound that people can be asked about, and what each method painted of it."""

    name: str
    scene: str  # what it is of: a picture of the same scene is never shown as a wrong one
    wave: Wave  # (samples,)
    sample_rate: int  # Hz
    pictures: Mapping[str, Picture]  # by the method's name


@dataclass(frozen=True)
class Question:
    """A sound, and the pictures to choose from: of which clip and by which method each."""

    clip: Clip
    options: tuple[tuple[Clip, str], ...]


@dataclass(frozen=True)
class Study:
    """A page, and what it must not tell."""

    page: str  # HTML
    key: Key


def draw_questions(kind: Kind, clips: Sequence[Clip], count: int, seed: int) -> list[Question]:
    """Which sounds are asked about, and which pictures stand beside the right ones.

    - ``match``: one method; its picture of the sound, and three of sounds of other scenes.
    - ``preference``: two methods; either one's picture of the sound, and three of sounds of other
      scenes, each by either method at random.
    - ``ranking``: any number of methods; each one's picture of the sound.

    Args:
        kind: of the study.
        clips: with pictures by the same methods each.
        count: questions; no sound is asked about twice.
        seed: of all choices.

    Raises:
        DataError: there are too few clips or scenes, or not as many methods as it takes.
    """
    if count > len(clips):
        raise DataError(f"{count} questions need as many sounds, and {len(clips)} are there.")
    methods = tuple(clips[0].pictures) if clips else ()
    if any(set(clip.pictures) != set(methods) for clip in clips):
        raise DataError("Every sound needs pictures by the same methods: paint the missing ones.")
    fits = {
        Kind.MATCH: len(methods) == 1,
        Kind.PREFERENCE: len(methods) == 2,
        Kind.RANKING: 2 <= len(methods) <= MOST_OPTIONS,
    }[kind]
    if not fits:
        wanted = METHODS.get(kind, f"2 to {MOST_OPTIONS} methods")
        raise DataError(f"A study of the kind '{kind}' takes {wanted}, not {len(methods)}.")
    chance = torch.Generator().manual_seed(seed)

    def some(number: int, below: int) -> list[int]:
        drawn: list[int] = torch.randperm(below, generator=chance)[:number].tolist()
        return drawn

    questions = []
    for clip in (clips[place] for place in some(count, len(clips))):
        options = [(clip, method) for method in methods]
        others = [other for other in clips if other.scene != clip.scene]
        missing = OPTIONS.get(kind, len(methods)) - len(options)
        if missing > len(others):
            raise DataError(
                f"'{clip.name}' needs pictures of {missing} sounds of other scenes than "
                f"'{clip.scene}', and {len(others)} are there: add sounds."
            )
        for place in some(missing, len(others)):
            options.append((others[place], methods[some(1, len(methods))[0]]))
        questions.append(Question(clip, tuple(options)))
    return questions


def make_study(
    kind: Kind, questions: Sequence[Question], seed: int, *, title: str = "Sounds and pictures"
) -> Study:
    """The page and the key; the same input gives the same.

    Args:
        kind: of the study.
        questions: one or more, of 2 to 9 pictures each.
        seed: of the ids. In which order things are shown is drawn anew by the page for each
            person, and saved with the answers.
        title: of the page.

    Raises:
        ValueError: a question has no right answer, or too many pictures.
    """
    chance = torch.Generator().manual_seed(seed)

    def code() -> str:
        return f"{int(torch.randint(2**48, (1,), generator=chance)):012x}"

    items, shown = [], []
    for question in questions:
        if not 2 <= len(question.options) <= MOST_OPTIONS:
            raise ValueError(f"expected 2 to {MOST_OPTIONS} pictures, got {len(question.options)}")
        sound, pictures = sound_uri(question.clip.wave, question.clip.sample_rate), []
        options = []
        for clip, method in question.options:
            option = Option(code(), clip.name, method, right=clip is question.clip)
            options.append(option)
            pictures.append({"id": option.id, "source": picture_uri(clip.pictures[method])})
        items.append(Item(code(), question.clip.name, tuple(options)))
        # In the order of their ids, since the right ones were put down first.
        pictures.sort(key=lambda picture: picture["id"])
        shown.append({"id": items[-1].id, "sound": sound, "pictures": pictures})
    shown.sort(key=lambda one: str(one["id"]))
    content = json.dumps([kind, shown]).encode()
    key = Key(hashlib.sha256(content).hexdigest()[:10], kind, seed, tuple(items))
    parts = {
        "title": html.escape(title),
        "study": json.dumps({"study": key.study, "kind": kind, "questions": shown}),
        "format": ANSWERS_FORMAT,
    }
    template = resources.files(__package__).joinpath("study.html").read_text(encoding="utf-8")
    return Study(re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template), key)


def write_study(study: Study, page: Path, replace: bool = True) -> Path:
    """Write the page, and before it its key, each whole or not at all.

    Returns:
        Where the key is: beside the page, ``.key.json`` in the place of ``.html``.

    Raises:
        OutputError: one of them cannot be written.
    """
    key = key_path(page)
    write_atomically(key, study.key.as_json().encode(), replace)
    write_atomically(page, study.page.encode(), replace)
    return key


def key_path(page: Path) -> Path:
    """Where a page's key is."""
    return page.with_suffix(".key.json")


def picture_uri(picture: Picture) -> str:
    """A picture of one size for all, without a word about how it was made, as a data: address."""
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(resize(picture, PICTURE_PX)))
    image.save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return data_uri("image/jpeg", file.getvalue())


def sound_uri(wave: Wave, sample_rate: int) -> str:
    """A sound that every browser plays, as a data: address: MP3, or WAV if FFmpeg has no LAME.

    A wave beyond full scale is turned down, since a player would clip it.
    """
    import av  # 64 ms that other modules do not need

    wave, _ = limit_peak(wave)
    try:
        av.Codec("libmp3lame", "w")
    except ValueError:  # UnknownCodecError is one
        return data_uri("audio/wav", encode_wav(wave, sample_rate))
    return data_uri("audio/mpeg", encode_mp3(wave, sample_rate))


def encode_mp3(wave: Wave, sample_rate: int) -> bytes:
    """The bytes of an MP3 file: same input, same bytes."""
    import av

    rates = av.Codec("libmp3lame", "w").audio_rates or ()
    if sample_rate not in rates:
        import soxr

        wave, sample_rate = soxr.resample(wave, sample_rate, STUDIO_HZ), STUDIO_HZ
    file = io.BytesIO()
    with av.open(file, "w", format="mp3") as container:
        track = container.add_stream("libmp3lame", rate=sample_rate, layout="mono")
        track.bit_rate = MP3_BITS
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[None]), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = sample_rate, 0, Fraction(1, sample_rate)
        container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return file.getvalue()


def data_uri(kind: str, content: bytes) -> str:
    """Content as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
