"""Videos become shards of training pairs, on all cores, and a run that was killed goes on.

Which clips a shard holds is settled before the first of them is read. Each clip becomes a part in a
hidden folder, and a shard is put together once all its parts are there. So its bytes depend neither
on how many processes there are nor on how often they were killed.
"""

import csv
import hashlib
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

from s2s_cli import registry
from s2s_cli.audio.mixing import bring_to_peak
from s2s_cli.audio.sound import Wave, fit
from s2s_cli.choices import Select
from s2s_cli.crew import Beat, Lost, answers
from s2s_cli.data.excerpts import Choice, Gap, Reason, Scorer, excerpts_of
from s2s_cli.data.layouts import Clip, Listing, counted
from s2s_cli.data.samples import SAMPLE_RATE, SHARD_END, sample_files
from s2s_cli.errors import OutputError
from s2s_cli.picture.image import Picture, draft_of, write_atomically

NOTES = ".pairs"  # the hidden folder
SETTINGS = "settings.json"
INDEX = ("key", "split", "scene", "video", "start_s", "seconds", "frames_s", "scores")
SKIPPED = ("key", "split", "video", "reason", "detail")
AT_ONCE = 32  # moments that are scored together: all of a usual stretch, and no more memory
LOST = {Lost.DIED: Reason.CRASHED, Lost.HUNG: Reason.HUNG}


class Localising:
    """Scores by a network: C_av[t] = q_V . q_A (Sound2Scene, section 3.3)."""

    def __init__(self, model: str) -> None:
        """model: a localiser, or one whose encoders of sounds and pictures share a space.

        Raises:
            ModelError: there is none of this name, or it is for something else.
        """
        import torch

        torch.set_num_threads(1)  # there are as many processes as cores
        self._localiser = registry.open_localiser(model)
        self.seconds = self._localiser.config.audio.seconds

    def score(self, pictures: Sequence[Picture], waves: Sequence[Wave]) -> Sequence[float]:
        """As of ``Scorer``; a sound shorter than ``seconds`` is repeated, as in training."""
        parts = [slice(first, first + AT_ONCE) for first in range(0, len(pictures), AT_ONCE)]
        return [score for part in parts for score in self._scored(pictures[part], waves[part])]

    def _scored(self, pictures: Sequence[Picture], waves: Sequence[Wave]) -> list[float]:
        import numpy as np
        import torch

        from s2s_cli.audio.spectrogram import FRONT_ENDS

        config = self._localiser.config.audio
        samples = round(config.seconds * SAMPLE_RATE)
        loud = [bring_to_peak(wave, config.peak) if config.peak else wave for wave in waves]
        heard = torch.from_numpy(np.stack([fit(wave, samples) for wave in loud]))
        seen = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 127.5 - 1
        with torch.inference_mode():
            scores = self._localiser.score(seen, FRONT_ENDS[config.front_end](heard))
        return [float(score) for score in scores]


class Row(TypedDict):
    """What the index tells of a sample; its clip tells the rest."""

    key: str
    start_s: float
    seconds: float
    frames_s: list[float]
    scores: list[float]


class Outcome(TypedDict):
    """What became of a clip."""

    rows: list[Row]
    gaps: dict[str, int]  # how many stretches gave nothing, by the reason
    detail: str  # of the first gap


@dataclass(frozen=True)
class Shard:
    """Clips whose samples lie in one file."""

    name: str
    clips: tuple[Clip, ...]


@dataclass(frozen=True)
class Task:
    """A clip to be read for a shard."""

    clip: Clip
    shard: str
    part: Path  # what is made of it: its samples in .tar, and once they are there, .json

    def keep(self, outcome: Outcome) -> None:
        """Note what became of it, which is then never done again."""
        write_atomically(self.part.with_suffix(".json"), _json(outcome))


def shards_of(clips: Sequence[Clip], each: int) -> list[Shard]:
    """Every split in shards of so many clips, and the rest in a last one.

    The clips' order follows from a hash of their keys, so that each shard has of every scene.
    """
    order = sorted(clips, key=lambda clip: hashlib.sha256(clip.key.encode()).digest())
    shards = []
    for split in sorted({clip.split for clip in clips}):
        own = tuple(clip for clip in order if clip.split == split)
        for number, first in enumerate(range(0, len(own), each)):
            shards.append(Shard(f"{split}-{number:05d}", own[first : first + each]))
    return shards


class Pairing:
    """Clips, what is taken of them, and the folder that it goes to."""

    def __init__(
        self,
        listing: Listing,
        videos: Path,
        out: Path,
        choice: Choice,
        *,
        localiser: str = "pocket",
        shard_clips: int = 256,
        open_scorer: Callable[[str], Scorer] = Localising,
    ) -> None:
        """Nothing is read or written yet.

        Args:
            listing: of the clips.
            videos: the folder that they lie in.
            out: the folder of the shards.
            choice: what is taken of a clip.
            localiser: the model that chooses moments, where ``choice`` wants one to.
            shard_clips: of how many clips a shard is made.
            open_scorer: opens that model, in each process.

        Raises:
            ModelError: there is no such model.
        """
        self.listing, self.videos, self.out, self.choice = listing, videos, out, choice
        self.shards = {shard.name: shard for shard in shards_of(listing.clips, shard_clips)}
        self._notes = out / NOTES
        self._open_scorer: Callable[[], Scorer] | None = None
        # As their options are called, for the sentence about others.
        self._settings: dict[str, Any] = {
            "select": str(choice.select),
            "top": choice.top,
            "rate": choice.rate,
            "stretch": choice.stretch_s,
            "seconds": choice.seconds,
            "size": choice.size_px,
            "shard-clips": shard_clips,
        }
        # Of a photo no moment is chosen.
        if choice.select is Select.LOCALISER and any(clip.photo is None for clip in listing.clips):
            self._open_scorer = partial(open_scorer, localiser)
            self._settings["localiser"] = registry.model_sha256(registry.find(localiser))
        self._settings["clips"] = self._fingerprint()

    @property
    def found(self) -> dict[str, Any]:
        """What there is to be read, as a table for JSON."""
        clips, missing = self.listing.clips, len(self.listing.missing)
        return {
            "videos": len({clip.video for clip in clips}),
            "clips": _counts(clip.split for clip in clips),
            "listed": self.listing.named,
            "missing": missing,
            "found_share": round(1 - missing / max(1, self.listing.named), 4),
        }

    @property
    def done(self) -> int:
        """How many clips were read by now."""
        return len(self.listing.clips) - len(self._tasks())

    def check(self) -> None:
        """Whether the folder is ours, and was begun in the same way.

        Raises:
            OutputError: it is not.
        """
        begun, ours = self._notes / SETTINGS, self._settings
        if begun.is_file():
            theirs = json.loads(begun.read_bytes())
            differing = [name for name in ours | theirs if ours.get(name) != theirs.get(name)]
            # What gave nothing, because the model was the wrong one, say, may be begun anew.
            if differing and any(file != begun for file in self._notes.rglob("*.json")):
                name = differing[0]
                how = {
                    "clips": f"with other videos or splits than '{self.videos}' gives now",
                    "localiser": "with another --localiser",
                }.get(name, f"with --{name} {theirs.get(name)}, not {ours.get(name)}")
                raise OutputError(f"'{self.out}' was begun {how}: choose another with --out.")
        elif self.out.is_dir() and any(file.name != NOTES for file in self.out.iterdir()):
            raise OutputError(
                f"'{self.out}' holds something else already: choose another folder with --out."
            )

    def make(self, workers: int, advance: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Make all shards that are not there yet, and say what became of the clips.

        Args:
            workers: how many processes share the work.
            advance: called after each clip.

        Returns:
            What report.json holds.

        Raises:
            OutputError: ``out`` holds something else, or cannot be written.
            ModelError: the model cannot tell whether a sound and a picture go together.
            S2SError: the processes die before they can begin.
        """
        self.check()
        write_atomically(self._notes / SETTINGS, _json(self._settings))
        tasks = self._tasks()
        left = Counter(task.shard for task in tasks)
        for name in self.shards:
            if not left[name]:
                self._finish(name)
        prepare = partial(_prepare, self.choice, self._open_scorer)
        with closing(answers(tasks, prepare, workers)) as outcomes:
            for task, said in outcomes:
                if isinstance(said, Lost):
                    task.keep({"rows": [], "gaps": {LOST[said]: 1}, "detail": ""})
                left[task.shard] -= 1
                if not left[task.shard]:
                    self._finish(task.shard)
                advance()
        return self._conclude()

    def _fingerprint(self) -> str:
        """A hash of all that tells the clips from others, but for their files' content."""
        digest = hashlib.sha256()
        for clip in self.listing.clips:
            files = [self._below(path) for path in (clip.video, clip.photo) if path is not None]
            about = (clip.key, files, clip.split, clip.start_s, clip.seconds, clip.moments_s)
            digest.update(_json(about))
        return digest.hexdigest()

    def _below(self, path: Path) -> str:
        return path.relative_to(self.videos).as_posix()

    def _log(self, shard: str) -> Path:
        """Where the outcomes of a whole shard's clips are, in their order."""
        return self._notes / f"{shard}.json"

    def _part(self, shard: str, number: int) -> Path:
        return self._notes / shard / f"{number:05d}"

    def _tasks(self) -> list[Task]:
        """What is left to be read."""
        return [
            task
            for name, shard in self.shards.items()
            if not self._log(name).is_file()
            for number, clip in enumerate(shard.clips)
            for task in [Task(clip, name, self._part(name, number))]
            if not task.part.with_suffix(".json").is_file()
        ]

    def _finish(self, name: str) -> None:
        """Put a shard together, of which all parts are there, unless that was done."""
        if not self._log(name).is_file():
            parts = [self._part(name, number) for number in range(len(self.shards[name].clips))]
            outcomes = [json.loads(part.with_suffix(".json").read_bytes()) for part in parts]
            if any(outcome["rows"] for outcome in outcomes):
                whole = self._notes / name / "whole.tar"  # a kill leaves half of it in here
                with draft_of(whole) as shard:
                    for part, outcome in zip(parts, outcomes, strict=True):
                        if outcome["rows"]:
                            with part.with_suffix(".tar").open("rb") as samples:
                                shutil.copyfileobj(samples, shard)
                    shard.write(SHARD_END)
                whole.replace(self.out / f"{name}.tar")
            write_atomically(self._log(name), _json(outcomes))
        shutil.rmtree(self._notes / name, ignore_errors=True)

    def _outcomes(self) -> Iterator[tuple[Clip, Outcome]]:
        for name, shard in self.shards.items():
            yield from zip(shard.clips, json.loads(self._log(name).read_bytes()), strict=True)

    def _conclude(self) -> dict[str, Any]:
        """Write the index, what was skipped, and the report: always all of them, from the logs."""
        index: list[Sequence[object]] = [INDEX]
        skips: list[Sequence[object]] = [SKIPPED]
        used: list[Clip] = []
        left_out = Counter[str]()
        frames = 0
        for clip, outcome in self._outcomes():
            video, rows, gaps = self._below(clip.video), outcome["rows"], outcome["gaps"]
            if not rows:
                reason = next(iter(gaps))
                skips.append((clip.key, clip.split, video, reason, outcome["detail"]))
                continue
            used.append(clip)
            left_out.update(gaps)
            for row in rows:
                frames += max(1, len(row["frames_s"]))  # of a photo nobody knows when it was taken
                lists = (
                    " ".join(map(str, numbers)) for numbers in (row["frames_s"], row["scores"])
                )
                place = (row["key"], clip.split, clip.key.split("/")[0], video)
                index.append((*place, row["start_s"], row["seconds"], *lists))
        report = {
            **self.found,
            "videos_used": len({clip.video for clip in used}),
            "clips_used": _counts(clip.split for clip in used),
            "samples": _counts(str(split) for _, split, *_ in index[1:]),
            "frames": frames,
            "skipped": _counts(str(reason) for *_, reason, _ in skips[1:]),
            "stretches_left_out": dict(sorted(left_out.items())),
            "settings": self._settings,
        }
        write_atomically(self.out / "index.tsv", _tsv(index))
        write_atomically(self.out / "skipped.tsv", _tsv(skips))
        write_atomically(self.out / "report.json", _json(report, indent=2))
        return report


def found_told(found: dict[str, Any]) -> list[str]:
    """``Pairing.found`` in a few lines."""
    splits = ", ".join(f"{number:,} {split}" for split, number in found["clips"].items())
    clips = counted(sum(found["clips"].values()), "clip")
    lines = [f"{clips} of {counted(found['videos'], 'video')}: {splits}."]
    if found["missing"]:
        here = found["listed"] - found["missing"]
        lines.append(
            f"{here:,} of {found['listed']:,} that are listed were found "
            f"({found['found_share']:.1%})."
        )
    return lines


def report_told(report: dict[str, Any]) -> list[str]:
    """A report in a few lines."""
    splits = ", ".join(f"{number:,} {split}" for split, number in report["samples"].items())
    samples = counted(sum(report["samples"].values()), "sample")
    videos = counted(report["videos"], "video")
    lines = [f"{report['videos_used']:,} of {videos} gave {samples}: {splits or 'none'}."]
    for key, what in (
        ("skipped", "Clips left out, as skipped.tsv lists them"),
        ("stretches_left_out", "Stretches left out of other clips"),
    ):
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in report[key].items())
        if reasons:
            lines.append(f"{what}: {reasons}.")
    return lines


def _prepare(
    choice: Choice, open_scorer: Callable[[], Scorer] | None
) -> Callable[[Task, Beat], None]:
    """What a process does for each task."""
    return partial(_read, choice=choice, scorer=open_scorer() if open_scorer else None)


def _read(task: Task, beat: Beat, *, choice: Choice, scorer: Scorer | None) -> None:
    """Read a clip, and leave its part where the task says."""
    rows: list[Row] = []
    gaps = Counter[str]()
    detail = ""
    with draft_of(task.part.with_suffix(".tar")) as file:
        for excerpt in excerpts_of(task.clip, choice, scorer):
            beat()
            if isinstance(excerpt, Gap):
                gaps[excerpt.reason] += 1
                detail = detail or excerpt.detail
                continue
            key = f"{task.clip.key}-{len(rows):04d}"
            file.write(sample_files(key, excerpt.sound, excerpt.frames))
            rows.append(
                {
                    "key": key,
                    "start_s": round(excerpt.start_s, 4),
                    "seconds": round(len(excerpt.sound) / SAMPLE_RATE, 4),
                    "frames_s": [round(at_s, 4) for at_s in excerpt.frames_s],
                    "scores": [round(score, 4) for score in excerpt.scores],
                }
            )
    task.keep({"rows": rows, "gaps": gaps, "detail": detail})


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _tsv(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows(rows)
    return os.fsencode(text.getvalue())


def _json(table: object, indent: int | None = None) -> bytes:
    return json.dumps(table, indent=indent).encode() + b"\n"
