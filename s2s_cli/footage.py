"""A video takes on the look of its sound, louder and quieter, or of another sound (figure 9).

"Learning Visual Styles from Audio-Visual Associations" (avstyle), section 4. A window as long as
the model hears moves along the sound. What it hears is smoothed over time, and every frame is
restyled by it as a photo would be. It is a ``Reel`` as a film is: memory does not grow with the
video, and a run that was killed goes on from its parts.

>>> with open_footage(Restyler.open("avstyle"), "river.mp4") as footage:
...     footage.shoot(Path("river-stylized.mp4"))
"""

import math
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from itertools import count, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from s2s_cli.audio.mixing import GainCurve, apply_gain_db, headroom_db
from s2s_cli.audio.sound import Wave
from s2s_cli.audio.stream import SoundStream, Underlay, open_stream
from s2s_cli.errors import PictureError, SoundError
from s2s_cli.filming import BATCH, HOP_S, UNFINISHED, Reel, each_once, smoothed, windows
from s2s_cli.networks.config import from_table
from s2s_cli.picture.image import Picture
from s2s_cli.picture.motion import Soundtrack
from s2s_cli.picture.provenance import Provenance, Source
from s2s_cli.picture.video import Video, open_video
from s2s_cli.restyling import SMALLEST_PX, Restyler
from s2s_cli.studio import Look

COMMAND = "stylize"  # as for a photo; the role of the first source tells them apart
VIDEO, SOUND = "video", "sound"  # roles of sources
LARGEST_PX = 8192  # a side, since H.264 has no more

SMOOTH_REACH = 4  # times ``smooth_s`` on either side; what lies beyond weighs 2 %
STEADIEST = 0.9  # beyond, a frame shows what was a second ago
STEADY_REST = 0.05  # of the weight of the own change, below which an earlier one is forgotten
CUT = 40  # of 255: where two frames differ by more on average, one scene ends


@dataclass(frozen=True)
class FootagePlan:
    """All that decides a restyled video beside the video, its sound and the model.

    Raises:
        ValueError: a number is out of range.
    """

    start_s: float = 0.0  # where in the video to begin
    length_s: float | None = None  # of what is restyled; None: to the end of the video
    size_px: int | None = None  # the longer side; None: as it is
    moments_s: tuple[float, ...] = (0.0,)  # after the beginning, at which the gain is ...
    gains_db: tuple[float, ...] = (0.0,)  # ... this, with straight lines between them
    strength: float = 1.0  # 0 is the video, 1 all of the new look
    smooth_s: float = 1.0  # in which the weight of what is heard before and after falls to 37 %
    steady: float = 0.0  # how much a change counts one frame later, 0 to ``STEADIEST``

    def __post_init__(self) -> None:
        ranges = {
            "start_s": (0, math.inf),
            "length_s": (0.001, math.inf),
            "size_px": (SMALLEST_PX, LARGEST_PX),
            "strength": (0, 1),
            "smooth_s": (0, 60),
            "steady": (0, STEADIEST),
        }
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ValueError(f"expected {least} <= {name} <= {most}, got {value}")
        assert self.gain  # which looks at its own numbers

    @property
    def gain(self) -> GainCurve:
        """How loud the sound is, after a model's own peak."""
        return GainCurve(self.moments_s, self.gains_db)


def plan_of(made: Provenance) -> FootagePlan:
    """The plan of a video that was restyled before, whole or not.

    Raises:
        ValueError: it is none, or one that this version cannot repeat.
    """
    if not is_footage(made) or [s.role for s in made.sources[1:]] not in ([], [SOUND]):
        raise ValueError(f"s2s {made.command}")
    unused = (UNFINISHED, "truncation")  # which every picture's provenance has
    return from_table(FootagePlan, {k: v for k, v in made.options.items() if k not in unused})


def is_footage(made: Provenance) -> bool:
    """Whether it tells of a restyled video."""
    return made.command == COMMAND and made.sources[:1] != () and made.sources[0].role == VIDEO


@dataclass(frozen=True, eq=False)
class Footage(Reel):
    """A video, its sound, a model and a plan: everything that decides a restyled video."""

    restyler: Restyler
    video: Video  # at the size at which it is restyled
    first: int  # picture of the video
    last: int  # behind the last one
    sound: Underlay  # as long as the frames
    plan: FootagePlan
    sources: tuple[Source, ...]
    remarks: tuple[str, ...] = ()  # whole sentences about what the user may not expect

    @property
    def frames(self) -> int:
        """How many pictures it has."""
        return self.last - self.first

    @property
    def rate(self) -> Fraction:
        """Frames a second: the video's own."""
        return self.video.rate

    @property
    def seconds(self) -> float:
        """How long it is."""
        return float(self.frames / self.rate)

    @cached_property
    def provenance(self) -> Provenance:
        """How the whole is made."""
        look = Look(self.plan.start_s, size_px=self.plan.size_px)
        own = {k: v for k, v in asdict(self.plan).items() if k not in asdict(look)}
        return self.restyler.provenance(COMMAND, self.sources, 0, look, **own)

    @cached_property
    def headroom_db(self) -> float:
        """By how much the sound is turned down, all of it, since it would pass full scale: <= 0."""
        return headroom_db(self.plan.gain.applied(self.sound.blocks(), self.sound.sample_rate))

    @property
    def soundtrack(self) -> Soundtrack:
        """The sound with its gain; as much quieter as it must be, so that nothing is clipped."""
        gains_db = tuple(gain_db + self.headroom_db for gain_db in self.plan.gains_db)
        gain, hertz = GainCurve(self.plan.moments_s, gains_db), self.sound.sample_rate
        return Soundtrack(gain.applied(self.sound.blocks(), hertz), hertz, self.sound.channels)

    def pictures(self, first: int = 0) -> Iterator[Picture]:
        """Its frames from a multiple of ``BATCH`` on, (H, W, 3) each.

        A frame is the same wherever one begins.
        """
        # How many are restyled together moves their last bits, so it is always as many.
        together = self.restyler.together(self.video.height, self.video.width)
        batch = 1 << max(0, min(together, BATCH).bit_length() - 1)
        steady = Steadied(self.plan.steady)
        begin = max(0, first - steady.reach) // batch * batch
        originals = self.video.pictures(self.first + begin)
        features = self.features(begin)
        for start in range(begin, self.frames, batch):
            own = list(islice(originals, min(batch, self.frames - start)))
            filled = own + own[-1:] * (batch - len(own))
            feature = torch.stack(list(islice(features, batch)))
            restyled = self.restyler.restyle_batch(filled, feature, self.plan.strength)
            for number, frame in enumerate(own):
                picture = steady.after(frame, restyled[number])
                if start + number >= first:
                    yield picture

    def features(self, first: int = 0) -> Iterator[Tensor]:
        """What is heard at frame ``first`` and at each one after it, (features,), without end.

        The weight of what is heard ``t`` seconds before or after is exp(-|t| / smooth_s): as far
        ahead as back, so that the look does not lag behind the sound.
        """
        config = self.restyler.model.audio_encoder.config

        def heard(moment: int) -> Iterator[Tensor]:
            waves = self.sound.waves(config.sample_rate)
            around = windows(waves, config.sample_rate, config.seconds, moment)
            at_s = (HOP_S * hop for hop in count(moment))
            return each_once(self.restyler.feature_of, map(self.as_heard, around, at_s))

        reach = math.ceil(SMOOTH_REACH * self.plan.smooth_s / HOP_S)
        distance_s = HOP_S * torch.arange(-reach, reach + 1).abs()
        weights = torch.exp(-distance_s / (self.plan.smooth_s or 1))
        return smoothed(heard, weights.to(self.restyler.device), self.rate, first)

    def as_heard(self, wave: Wave, at_s: float) -> Wave:
        """A window as the model hears it: brought to its peak, if it has one, and then the gain.

        All of it gets the gain of its own moment. So the look follows the gain at once, near the
        ends too, where windows stay inside the sound.
        """
        return apply_gain_db(self.restyler.prepared(wave), self.plan.gain.at(at_s))


class Steadied:
    """Holds flicker down: what a restyling changed in a frame is a mean over the frames before.

    Each change counts ``share`` as much as the next one. Changes stay where they are in the
    picture: what moves may leave a trace of itself, and a new scene begins anew.
    """

    def __init__(self, share: float) -> None:
        """share: 0 leaves everything as it is."""
        self._share = share
        # Earlier changes are forgotten, so that a run can begin anywhere.
        self.reach = math.ceil(math.log(STEADY_REST) / math.log(share)) if share else 0
        self._changes: deque[npt.NDArray[np.int16]] = deque(maxlen=self.reach + 1)  # newest first
        self._before: npt.NDArray[np.int16] | None = None

    def after(self, original: Picture, restyled: Picture) -> Picture:
        """The next frame, (H, W, 3): steadied by those before it."""
        if not self._share:
            return restyled
        own = original.astype(np.int16)
        if self._before is not None and np.abs(own - self._before).mean() > CUT:
            self._changes.clear()
        self._before = own
        self._changes.appendleft(restyled - own)
        weights = (self._share ** np.arange(len(self._changes))).astype(np.float32)
        mean = np.zeros(own.shape, np.float32)
        for weight, change in zip(weights / weights.sum(), self._changes, strict=True):
            mean += weight * change
        steadied: Picture = np.rint(own + mean).clip(0, 255).astype(np.uint8)
        return steadied


@contextmanager
def open_footage(
    restyler: Restyler,
    video: Path | str,
    sound: Path | str | None = None,
    plan: FootagePlan | None = None,
) -> Iterator[Footage]:
    """Open a video and its sound, to be restyled frame by frame.

    Args:
        restyler: with the model.
        video: a file.
        sound: another sound, "-" for standard input; a shorter one is repeated, a longer one cut.
            None is the video's own track.
        plan: how.

    Raises:
        PictureError: the video cannot be looked at, is too small or too large, or over before
            ``plan.start_s``.
        SoundError: the sound cannot be heard; or the video has none, and no other is given.
    """
    plan = plan or FootagePlan()
    with ExitStack() as exits:
        whole = exits.enter_context(open_video(video))
        seen = whole if plan.size_px is None else whole.scaled(plan.size_px)
        require_size(whole, seen)
        first = round(plan.start_s * whole.rate)
        if first >= whole.frames:
            raise PictureError(
                f"'{video}' is over before {plan.start_s:g} s (it lasts "
                f"{float(whole.frames / whole.rate):.6g} s): choose an earlier --start."
            )
        frames = whole.frames - first
        if plan.length_s is not None:
            frames = min(frames, max(1, round(plan.length_s * whole.rate)))
        seconds = float(frames / whole.rate)
        sources = [Source(VIDEO, whole.name, whole.sha256)]
        if sound is None:
            late_s = whole.sound_late_s - float(first / whole.rate)
            heard = exits.enter_context(own_track(whole, late_s, seconds))
        else:
            late_s = 0.0
            heard = exits.enter_context(open_stream(sound, seconds=seconds))
            sources.append(Source(SOUND, heard.name, heard.sha256))
        under = Underlay(
            heard,
            samples=max(1, round(seconds * heard.sample_rate)),
            late=round(max(0.0, late_s) * heard.sample_rate),
            repeats=sound is not None,
        )
        remarks = whole.remarks + heard.remarks
        yield Footage(restyler, seen, first, first + frames, under, plan, tuple(sources), remarks)


@contextmanager
def own_track(video: Video, late_s: float, seconds: float) -> Iterator[SoundStream]:
    """The sound of so many seconds of a video, which begins ``late_s`` after its first picture.

    Raises:
        SoundError: there is none, or it cannot be heard.
    """
    if not video.sounds or late_s >= seconds:
        where = "has no sound track" if not video.sounds else "is without sound for so long"
        raise SoundError(
            f"'{video.name}' {where}: name a sound behind it, as in `s2s stylize VIDEO rain.wav`."
        )
    with open_stream(
        Path(video.name), start_s=max(0.0, -late_s), seconds=seconds - max(0.0, late_s)
    ) as heard:
        yield heard


def require_size(whole: Video, seen: Video) -> None:
    """Neither too small to restyle nor too large to encode.

    Raises:
        PictureError: it is.
    """
    if min(whole.height, whole.width, seen.height, seen.width) < SMALLEST_PX:
        raise PictureError(
            f"'{whole.name}' has {whole.width} x {whole.height} pixels, too few to keep any "
            f"structure of: give a video of at least {SMALLEST_PX} x {SMALLEST_PX}."
        )
    if max(seen.height, seen.width) > LARGEST_PX:
        raise PictureError(
            f"'{whole.name}' has {whole.width} x {whole.height} pixels, more than a film can have: "
            f"bring it to {LARGEST_PX} or less with --size."
        )
