"""Ways through the aligned space, along which one number changes: Sound2Scene, section 5.

A plan says how a feature comes of sounds and pictures at one place of the way; a walk is a plan
with the sounds and pictures themselves. A place is a number in the plan's own unit, and what is
painted there does not depend on which other places are visited.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from s2s_cli.audio.mixing import apply_gain_db, level_db, limit_peak, mix
from s2s_cli.audio.sound import Wave, fit
from s2s_cli.audio.spectrogram import median_above_floor_db
from s2s_cli.choices import Along, Blend, Curve, Grid, Space, Through
from s2s_cli.errors import ModelError, PictureError, SoundError
from s2s_cli.latents import angle_degrees, interpolate, unit
from s2s_cli.picture.blend import blend
from s2s_cli.picture.image import Picture, resize, resize_to
from s2s_cli.picture.photo import Photo
from s2s_cli.picture.provenance import Provenance, Scalar
from s2s_cli.picture.sheet import CELL_PX, strip, table
from s2s_cli.restyling import Restyler
from s2s_cli.studio import Heard, Look, Seen, Studio

End = Heard | Seen
FULL_SCALE = 1.0
CLIPPED_DB = 18.0  # beyond full scale: what is loud to a model that hears no volume
LONGEST_ASPECT = 8  # beyond, the shorter side of a painting is made shorter too
HARDLY_HEARD_DEGREES = 2.0  # pictures of features this close look alike
DEAF_FRONT_ENDS = ("standardised",)  # they make every clip equally loud


@dataclass(frozen=True)
class Plan:
    """How a feature comes of sounds and pictures; fields are all the settings that decide it."""

    command: ClassVar[str]

    def feature(self, ends: Sequence[End], at: float) -> Tensor:
        """What is painted at one place, (features,)."""
        raise NotImplementedError

    def label(self, ends: Sequence[End], at: float) -> str:
        """The place, in a few letters."""
        raise NotImplementedError

    def paint(self, ends: Sequence[End], at: float, seed: int, look: Look) -> Picture:
        """The picture at one place."""
        return ends[0].studio.paint(self.feature(ends, at), seed, look)


@dataclass(frozen=True)
class Mixture(Plan):
    """Several sounds at once (section 5.1). A place is the ratio of two: 0 all first, 1 all second.

    Where ``weights`` are given there is one place only, 0.
    """

    command = "mix"
    weights: tuple[float, ...] = ()  # of each sound, summing to 1
    gains_db: tuple[float, ...] = ()  # of each sound before it is mixed
    level: bool = False  # all sounds are first brought to the level of the first
    pad: bool = False  # shorter sounds end in silence; else they repeat
    space: Space = Space.WAVE

    def shares(self, at: float) -> tuple[float, ...]:
        """How much of each sound is in the mixture, summing to 1."""
        return self.weights or (1 - at, at)

    def wave(self, ends: Sequence[End], at: float) -> tuple[Wave, float]:
        """The mixture, and the gain in dB that brought it down.

        It is no louder than full scale, unless one of its sounds is.
        """
        loudest = max(FULL_SCALE, *(float(np.abs(wave).max()) for wave in waves_of(ends)))
        return limit_peak(mix(self.parts(ends), self.shares(at), self.pad), loudest)

    def parts(self, ends: Sequence[End]) -> list[Wave]:
        """Each sound as it goes into the mixture."""
        waves = waves_of(ends)
        gains_db = self.gains_db or (0.0,) * len(waves)
        if self.level:
            gains_db = tuple(
                gain_db + level_db(waves[0]) - level_db(wave)
                for wave, gain_db in zip(waves, gains_db, strict=True)
            )
        return [apply_gain_db(wave, gain) for wave, gain in zip(waves, gains_db, strict=True)]

    def feature(self, ends: Sequence[End], at: float) -> Tensor:
        """Of the mixture, or between the features of its sounds."""
        studio = ends[0].studio
        if self.space is Space.WAVE:
            return studio.feature_of(self.wave(ends, at)[0])
        features = [
            (studio.feature_of(part), share)
            for part, share in zip(self.parts(ends), self.shares(at), strict=True)
            if share
        ]
        if len(features) == 1:
            return features[0][0]
        return torch.stack([share * unit(feature) for feature, share in features]).sum(dim=0)

    def label(self, ends: Sequence[End], at: float) -> str:
        """How much of the second sound there is, or of each."""
        if self.weights:
            return " : ".join(f"{weight:.0%}" for weight in self.weights)
        return labels_of(ends)[round(at)] if at in (0, 1) else f"ratio {at:.2f}"


@dataclass(frozen=True)
class Volume(Plan):
    """One sound, louder and quieter (section 5.1). A place is a gain in dB.

    A second sound gets quieter as the first gets louder (figure 8), or has its own gain or share
    in the columns of a table.
    """

    command = "volume-sweep"
    from_db: float = -24.0  # the ends of the sweep: what ``through`` and a second sound refer to
    to_db: float = 12.0
    through: Through = Through.WAVE
    grid: Grid | None = None

    @property
    def span(self) -> tuple[float, float]:
        """Both ends, the quieter one first."""
        return min(self.from_db, self.to_db), max(self.from_db, self.to_db)

    def feature(self, ends: Sequence[End], at: float) -> Tensor:
        """Of the sound at this gain, or of both."""
        if len(ends) == 2:
            return self.crossed(ends, at, self.opposite(at))
        studio = ends[0].studio
        if self.through is not Through.FEATURE:
            return studio.feature_of(self.wave(ends[0], at))
        feature: Tensor = ends[0].feature
        if at == 0:
            return feature
        quiet, loud = (studio.feature_of(wave) for wave in extremes(ends[0], *self.span))
        quietest, loudest = self.span
        return unit(feature) + at / (loudest - quietest) * (unit(loud) - unit(quiet))

    def opposite(self, gain_db: float) -> float:
        """The gain of the second sound, which runs from the last to the first."""
        return self.from_db + self.to_db - gain_db

    def beyond_db(self, gain_db: float) -> float:
        """How far a gain lies above where ``through`` begins to act."""
        quietest, loudest = self.span
        begins = {Through.FLOOR: (quietest + loudest) / 2, Through.CLIP: quietest}
        return gain_db - begins.get(self.through, 0.0)

    def wave(self, end: End, gain_db: float) -> Wave:
        """The sound at this gain, on its way into the model."""
        (wave,) = waves_of([end])
        beyond_db = self.beyond_db(gain_db)
        if self.through is Through.FLOOR:
            return apply_gain_db(wave, half_hidden_db(end) + beyond_db)
        if self.through is Through.CLIP:
            louder = apply_gain_db(wave, full_scale_db(wave) + beyond_db)
            return louder.clip(-FULL_SCALE, FULL_SCALE)
        return apply_gain_db(wave, gain_db)

    def crossed(self, ends: Sequence[End], gain_db: float, column: float) -> Tensor:
        """The feature of both sounds, half and half, as they are in one cell of a table.

        Args:
            ends: two sounds.
            gain_db: the row: of the first sound, or of both.
            column: the gain of the second sound in dB, or its share.
        """
        by_ratio = self.grid is Grid.RATIO
        shares = (1 - column, column) if by_ratio else (0.5, 0.5)
        gains_db = (gain_db, gain_db if by_ratio else column)
        waves = [
            apply_gain_db(wave, gain) for wave, gain in zip(waves_of(ends), gains_db, strict=True)
        ]
        return ends[0].studio.feature_of(mix(waves, shares))

    def label(self, ends: Sequence[End], at: float) -> str:
        """The gain; of both sounds; or how far it lies above where it acts."""
        if len(ends) == 2:
            first, second = labels_of(ends)
            return f"{first} {decibels(at)}, {second} {decibels(self.opposite(at))}"
        beyond = decibels(self.beyond_db(at))
        words = {Through.FLOOR: f"floor {beyond}", Through.CLIP: f"clipped by {beyond}"}
        return words.get(self.through, decibels(at))

    def heard_degrees(self, ends: Sequence[End], places: Sequence[float]) -> list[float]:
        """How far the model hears each place to be from the first, as an angle between features."""
        features = [self.feature(ends, at) for at in places]
        return [angle_degrees(features[0], feature) for feature in features]


@dataclass(frozen=True)
class Passage(Plan):
    """From one sound or picture to the next (section 5.2). A place counts the stops, from 0 on."""

    command = "interpolate"
    curve: Curve = Curve.LINEAR

    def feature(self, ends: Sequence[End], at: float) -> Tensor:
        """Between the features of the stops on either side."""
        before = min(int(at), len(ends) - 2)
        return interpolate(ends[before].feature, ends[before + 1].feature, at - before, self.curve)

    def label(self, ends: Sequence[End], at: float) -> str:
        """The stop's name, or the share of the next."""
        return labels_of(ends)[int(at)] if at == int(at) else f"{at - int(at):.2f}"


@dataclass(frozen=True)
class Edit(Plan):
    """A picture moved along the difference of two sounds (section 5.2). A place is the strength.

    The first end is the picture; then comes one sound, quiet and loud, or a sound and the one
    that it is held against. At 0 this is the reconstruction of the picture.
    """

    command = "edit"
    from_db: float = -24.0  # the gains of one sound: the way leads from the first to the second
    to_db: float = 12.0
    search_steps: int = 300  # of an inversion by search
    blend: Blend = Blend.NONE

    def poles(self, ends: Sequence[End]) -> tuple[Tensor, Tensor]:
        """The features that the way leads from and to, (features,) each."""
        sounds = ends[1:]
        if len(sounds) == 2:
            return sounds[1].feature, sounds[0].feature
        waves = extremes(sounds[0], *sorted((self.from_db, self.to_db)))
        quiet, loud = (ends[0].studio.feature_of(wave) for wave in waves)
        return (quiet, loud) if self.to_db > self.from_db else (loud, quiet)

    def direction(self, ends: Sequence[End]) -> Tensor:
        """What one unit of strength adds to the picture's feature, (features,).

        The paper's z_1 - z_2, brought to length 1: some sounds' loud and quiet features lie ten
        times as far apart as others', and a strength should mean the same with each.

        Raises:
            ModelError: there is no difference to speak of, and its direction would be chance.
        """
        start, end = self.poles(ends)
        apart = angle_degrees(start, end)
        if apart < HARDLY_HEARD_DEGREES:
            raise ModelError(
                f"The model '{ends[0].studio.model.name}' hears no difference between the two ends "
                f"of the way ({apart:.1f} degrees): choose gains further apart, or another sound "
                "with --against."
            )
        return unit(unit(end) - unit(start))

    def feature(self, ends: Sequence[End], at: float) -> Tensor:
        """The picture's own, moved."""
        own = picture_of(ends).inversion(self.search_steps).feature
        return unit(own) + at * self.direction(ends) if at else own

    def label(self, ends: Sequence[End], at: float) -> str:  # noqa: ARG002, the plans' signature
        """The strength."""
        return f"strength {at:g}" if at else "reconstruction"

    def paint(self, ends: Sequence[End], at: float, seed: int, look: Look) -> Picture:  # noqa: ARG002
        """The edited picture: in the photo's aspect, or blended into the photo itself."""
        picture = picture_of(ends)
        inversion = picture.inversion(self.search_steps)
        painted = inversion.painted
        if at:
            painted = picture.studio.repaint(inversion.noise, self.feature(ends, at))
        if self.blend is Blend.NONE:
            height, width = picture.photo.pixels.shape[:2]
            return resize_to(painted, *unsquashed(painted.shape[0], height, width, look.size_px))
        return blend(picture.photo, inversion.painted, painted, self.blend)


@dataclass(frozen=True)
class Restyle(Plan):
    """A photo in the look of a sound, or of two mixed (avstyle, figures 6 and 7).

    The first end is the photo. A place is a gain in dB, or the share of the second sound.
    """

    command = "stylize"
    along: Along = Along.GAIN
    gain_db: float = 0.0  # where a place is a share
    ratio: float = 0.5  # the share of the second sound, where a place is a gain
    strength: float = 1.0  # 0 is the photo, 1 all of the new look

    def wave(self, ends: Sequence[End], at: float) -> Wave:
        """What the model hears: each sound as it was taught to hear it, their mixture, the gain."""
        gain_db, ratio = (at, self.ratio) if self.along is Along.GAIN else (self.gain_db, at)
        waves = [restyler_of(ends).prepared(wave) for wave in waves_of(ends[1:])]
        shares = (1 - ratio, ratio) if len(waves) == 2 else (1.0,)
        return apply_gain_db(mix(waves, shares), gain_db)

    def feature(self, ends: Sequence[End], at: float) -> Tensor:
        """Of the sound at this gain, or of the mixture."""
        return restyler_of(ends).feature_of(self.wave(ends, at))

    def label(self, ends: Sequence[End], at: float) -> str:
        """The gain, or the share."""
        if self.along is Along.GAIN:
            return decibels(at)
        return labels_of(ends)[1 + round(at)] if at in (0, 1) else f"ratio {at:.2f}"

    def paint(self, ends: Sequence[End], at: float, seed: int, look: Look) -> Picture:  # noqa: ARG002
        """The restyled photo, in its own colours."""
        photo = self.photo(ends, look)
        return restyler_of(ends).restyle(photo, self.feature(ends, at), self.strength)

    def photo(self, ends: Sequence[End], look: Look) -> Photo:
        """The photo at the size that is asked for."""
        photo = picture_of(ends).photo
        return photo if look.size_px is None else photo.scaled(look.size_px)


PLANS: dict[str, type[Plan]] = {
    plan.command: plan for plan in (Mixture, Volume, Passage, Edit, Restyle)
}


@dataclass(frozen=True)
class Motion:
    """How a walk moves, where it becomes one file."""

    fps: float = 6.0  # frames a second
    bounce: bool = False  # there and back again
    loop: bool = True  # and over again


@dataclass(frozen=True, eq=False)
class Walk:
    """A plan, and what it is carried out with."""

    plan: Plan
    ends: tuple[End, ...]  # in the order in which they were given; all of one studio
    seed: int
    look: Look

    @property
    def studio(self) -> Studio:
        """Where it is painted."""
        return self.ends[0].studio

    def paint(self, at: float) -> Picture:
        """The picture at one place."""
        return self.plan.paint(self.ends, at, self.seed, self.look)

    @property
    def photo(self) -> Photo | None:
        """The photo whose size and colours the pictures have, if it is one's edit."""
        if isinstance(self.plan, Restyle):
            return self.plan.photo(self.ends, self.look)
        blended = isinstance(self.plan, Edit) and self.plan.blend is not Blend.NONE
        return picture_of(self.ends).photo if blended else None

    @property
    def picture_px(self) -> int:
        """How many pixels a picture has."""
        if self.photo is not None:
            return self.photo.pixels[..., 0].size
        return (self.look.size_px or self.studio.model.generator.picture_px) ** 2

    def frame(self, picture: Picture) -> Picture:
        """A picture of this walk as part of a film or a page, which are in sRGB."""
        return self.photo.to_srgb(picture) if self.photo is not None else picture

    def frames(self, places: Sequence[float]) -> list[Picture]:
        """The pictures at these places, as parts of a film or a page."""
        return [self.frame(self.paint(at)) for at in places]

    def strip(self, places: Sequence[float], pictures: Sequence[Picture]) -> Picture:
        """Pictures that were painted at these places side by side, with labels, as in the paper."""
        labels = [self.plan.label(self.ends, at) for at in places]
        return strip(pictures, labels, cell_px=self.look.size_px or CELL_PX)

    def table(
        self,
        rows: Sequence[float],
        columns: Sequence[float],
        advance: Callable[[], None] = lambda: None,
    ) -> Picture:
        """Every gain of the first sound by every gain, or share, of the second.

        Of a ``Restyle`` it is every photo, itself first, by every sound: the rows are the place of
        each photo, the columns count the sounds, and the ends are the photos, the sounds, and
        perhaps one that is mixed into each of them.

        ``advance`` is called after each picture.
        """
        plan = self.plan
        if isinstance(plan, Restyle):
            return self._gallery(plan, rows, len(columns), advance)
        assert isinstance(plan, Volume)

        def cell(row: float, column: float) -> Picture:
            feature = plan.crossed(self.ends, row, column)
            picture = self.studio.paint(feature, self.seed, self.look)
            advance()
            return picture

        first, second = labels_of(self.ends)
        by_ratio = plan.grid is Grid.RATIO
        return table(
            [[cell(row, column) for column in columns] for row in rows],
            [f"both {decibels(row)}" if by_ratio else f"{first} {decibels(row)}" for row in rows],
            [
                f"{second} {column:.0%}" if by_ratio else f"{second} {decibels(column)}"
                for column in columns
            ],
            cell_px=self.look.size_px or CELL_PX,
        )

    def _gallery(
        self, plan: Restyle, rows: Sequence[float], sounds: int, advance: Callable[[], None]
    ) -> Picture:
        photos, heard = self.ends[: len(rows)], self.ends[len(rows) : len(rows) + sounds]
        mixed_in = self.ends[len(rows) + sounds :]

        def cell(photo: End, sound: End, at: float) -> Picture:
            one = replace(self, plan=plan, ends=(photo, sound, *mixed_in))
            picture = resize(one.frame(one.paint(at)), CELL_PX)
            advance()
            return picture

        def itself(photo: End) -> Picture:
            one = replace(self, plan=plan, ends=(photo,))
            return resize(one.frame(plan.photo(one.ends, self.look).pixels), CELL_PX)

        return table(
            [
                [itself(photo), *(cell(photo, sound, at) for sound in heard)]
                for photo, at in zip(photos, rows, strict=True)
            ],
            labels_of(photos),
            ["the photo", *labels_of(heard)],
        )

    def provenance(self, **form: Scalar | Sequence[Scalar]) -> Provenance:
        """All that decides what is painted.

        Args:
            form: ``at`` of one picture or of the frames of a film, ``rows`` and ``columns`` of a
                table, and how the pictures are put together.
        """
        return self.studio.provenance(
            self.plan.command,
            tuple(end.source for end in self.ends),
            self.seed,
            self.look,
            **asdict(self.plan),
            **form,
        )


def unsquashed(side_px: int, height: int, width: int, longer_px: int | None) -> tuple[int, int]:
    """Height and width of a square painting in a photo's aspect.

    Args:
        side_px: of the painting.
        height, width: of the photo.
        longer_px: how long the longer side shall be; None leaves the shorter one as painted.
    """
    small = min(side_px / min(height, width), LONGEST_ASPECT * side_px / max(height, width))
    scale = longer_px / max(height, width) if longer_px else small
    return max(1, round(scale * height)), max(1, round(scale * width))


def picture_of(ends: Sequence[End]) -> Seen:
    """The picture that an edit begins with."""
    picture = ends[0]
    if isinstance(picture, Heard):
        raise PictureError(f"'{picture.name}' is a sound: name a picture first.")
    return picture


def restyler_of(ends: Sequence[End]) -> Restyler:
    """Where a photo is restyled."""
    restyler = ends[0].studio
    assert isinstance(restyler, Restyler)  # nothing else carries out such a plan
    return restyler


def waves_of(ends: Sequence[End]) -> list[Wave]:
    """The waves of sounds, as they were read.

    Raises:
        SoundError: one of them is a picture.
    """
    for end in ends:
        if isinstance(end, Seen):
            raise SoundError(f"'{end.name}' is a picture: name a sound.")
    return [end.sound.wave for end in ends if isinstance(end, Heard)]


def extremes(end: End, quiet_db: float, loud_db: float) -> tuple[Wave, Wave]:
    """A sound quiet and loud, so that its model hears the difference.

    Where the front end keeps loudness these are the two gains. Where it makes every clip equally
    loud, the quiet one lies so low that half of it is hidden, and the loud one is driven
    ``CLIPPED_DB`` beyond full scale.
    """
    (wave,) = waves_of([end])
    if hears_volume(end.studio):
        return apply_gain_db(wave, quiet_db), apply_gain_db(wave, loud_db)
    driven = apply_gain_db(wave, full_scale_db(wave) + CLIPPED_DB)
    return apply_gain_db(wave, half_hidden_db(end)), driven.clip(-FULL_SCALE, FULL_SCALE)


def hears_volume(studio: Studio) -> bool:
    """Whether the model's front end keeps how loud a sound is."""
    return studio.model.audio_encoder.config.front_end not in DEAF_FRONT_ENDS


def require_heard(studio: Studio, heard_degrees: Sequence[float]) -> None:
    """Refuse to paint the same picture again and again.

    Raises:
        ModelError: a front end that makes every clip equally loud left nothing of a sweep.
    """
    most = max(heard_degrees)
    if not hears_volume(studio) and most < HARDLY_HEARD_DEGREES:
        raise ModelError(
            f"The model '{studio.model.name}' makes every clip equally loud, so it hears next to "
            f"nothing of this sweep ({most:.1f} degrees between features): choose --through "
            "floor, clip or feature."
        )


def full_scale_db(wave: Wave) -> float:
    """The gain that brings a wave's peak to full scale."""
    return -20 * math.log10(float(np.abs(wave).max()))


def half_hidden_db(end: End) -> float:
    """The gain at which half of what the front end sees of a sound is as good as silence."""
    (wave,) = waves_of([end])
    config = end.studio.model.audio_encoder.config
    whole = torch.from_numpy(fit(wave, round(config.seconds * config.sample_rate)))[None]
    return -median_above_floor_db(whole, config.front_end)


def decibels(gain_db: float) -> str:
    """A gain as people write it: with its sign, to a tenth."""
    return f"{round(gain_db, 1):+g} dB" if round(gain_db, 1) else "0 dB"


def labels_of(ends: Sequence[End]) -> list[str]:
    """The names of sounds and pictures, with their folders where they are alike otherwise."""
    names = [short_name(end.name) for end in ends]
    return [
        f"{PurePath(end.name).parent.name}/{name}" if names.count(name) > 1 else name
        for end, name in zip(ends, names, strict=True)
    ]


def short_name(name: str) -> str:
    """A sound's or picture's name, as it was given, on a label."""
    return "stdin" if name == "-" else PurePath(name).stem


def evenly(start: float, end: float, count: int) -> list[float]:
    """``count`` numbers from ``start`` to ``end``, both exactly among them.

    The others are rounded, so that a place is the same place in a sweep of another length.
    """
    between = [round(float(value), 9) for value in np.linspace(start, end, count)[1:-1]]
    return [start, *between, end]
