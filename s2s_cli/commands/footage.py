"""What ``s2s stylize`` does with a video."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import typer

from s2s_cli import console, options

if TYPE_CHECKING:
    from s2s_cli.audio.mixing import GainCurve
    from s2s_cli.restyling import Restyler


def restyle_video(
    sources: Sequence[str],
    model: str,
    *,
    gain: "GainCurve",
    choice: Mapping[str, Any],
    out: str | None,
    device: options.Device,
    json: bool,
    force: bool,
    dry_run: bool,
) -> None:
    """Restyle a video by its own sound track, or by another sound.

    Args:
        sources: the video, and perhaps a sound.
        model: that restyles.
        gain: of the sound.
        choice: the rest of a ``FootagePlan``.
        out, device, json, force, dry_run: as for every command.

    Raises:
        typer.BadParameter: there are more sources than two, or the second is no single sound.
        S2SError: the video cannot be restyled.
    """
    from s2s_cli.delivery import Delivery, named_sounds
    from s2s_cli.footage import FootagePlan, open_footage
    from s2s_cli.picture.gallery import place
    from s2s_cli.picture.motion import FILM_FORMATS
    from s2s_cli.restyling import Restyler
    from s2s_cli.studio import is_picture

    video, *sounds = sources
    if len(sounds) > 1:
        raise typer.BadParameter(
            f"A video is restyled by one sound, but {len(sounds)} names follow '{video}': "
            "give one video and at most one sound."
        )
    if sounds and is_picture(sounds[0]):
        raise typer.BadParameter(f"'{sounds[0]}' is a picture: name a sound behind the video.")
    delivery = Delivery(json=json, force=force, dry_run=dry_run)
    heard = named_sounds(sounds, delivery)
    if len(heard) > 1:
        raise typer.BadParameter(
            f"'{sounds[0]}' holds {len(heard)} sounds, but a video is restyled by one: name it."
        )
    delivery.close()  # where the argument stands for no sound
    suffix = ".webm" if Path(video).suffix.lower() == ".webm" else ".mp4"
    name = PurePath(f"{PurePath(video).stem}-{heard[0][1].name if heard else 'stylized'}")
    target = place(out, FILM_FORMATS).named(name, suffix=suffix)
    restyler = Restyler.open(model, device)
    tell_of_peak(restyler)
    plan = FootagePlan(moments_s=gain.moments_s, gains_db=gain.gains_db, **choice)
    sound = heard[0][0] if heard else None
    with delivery.attempt(), open_footage(restyler, video, sound, plan) as footage:
        for remark in footage.remarks:
            console.note(remark)
        if footage.headroom_db:
            console.note(
                f"The sound would pass full scale, so all of it is {-footage.headroom_db:.1f} dB "
                "quieter in the video; the model hears it as you asked."
            )
        delivery.film(target, footage, footage.seconds)
    delivery.close()


def is_video(source: str) -> bool:
    """Whether a name is a video's."""
    from s2s_cli.picture.video import VIDEO_SUFFIXES

    return PurePath(source).suffix.lower() in VIDEO_SUFFIXES


def tell_of_peak(restyler: "Restyler") -> None:
    """That a model does not mind how loud a file is, if so."""
    if restyler.model.audio_encoder.config.peak:
        console.note(
            f"The model '{restyler.model.name}' brings every sound to the same peak, as it was "
            "taught: how loud a file is does not matter, and --gain acts after that."
        )


def chosen_gain(gain_db: float, curve: str | None) -> "GainCurve":
    """What ``--gain`` and ``--gain-curve`` ask for.

    Raises:
        typer.BadParameter: the curve cannot be understood, or both are given.
    """
    from s2s_cli.audio.mixing import GainCurve

    if curve is None:
        return GainCurve((0.0,), (gain_db,))
    if gain_db:
        raise typer.BadParameter("Give one of --gain and --gain-curve.")

    def refuse(reason: str) -> typer.BadParameter:
        return typer.BadParameter(
            f"'{curve}' {reason}: write decibels at seconds, as in '0:-24, 10:12'.",
            param_hint="--gain-curve",
        )

    try:
        points = [tuple(map(float, point.split(":"))) for point in curve.split(",")]
        moments_s, gains_db = (tuple(numbers) for numbers in zip(*points, strict=True))
    except ValueError:
        raise refuse("is no curve") from None
    if not all(0 <= moment_s <= options.LATEST_START_S for moment_s in moments_s):
        raise refuse("has a moment that is no number of seconds from 0 on")
    if any(after <= before for before, after in pairwise(moments_s)):
        raise refuse("has moments that do not rise")
    quietest_db, loudest_db = options.QUIETEST_DB, options.LOUDEST_DB
    if not all(quietest_db <= gain <= loudest_db for gain in gains_db):
        raise refuse(f"has a gain outside {quietest_db:g} to {loudest_db:g} dB")
    return GainCurve(moments_s, gains_db)
