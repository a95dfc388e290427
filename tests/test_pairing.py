"""Shards of pairs hold what their index says, and are the same however they came about."""

import csv
import hashlib
import io
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import TINY_RESNET, randomise
from killed import start, start_and_die_at_write
from PIL import Image
from scorers import RATE, Angles, Deadly, heard_rad, seen_rad
from videos import number_of, numbered

from s2s_cli import pairing as pairing_module
from s2s_cli import registry
from s2s_cli.audio.spectrogram import FRONT_ENDS
from s2s_cli.choices import Layout, Select
from s2s_cli.crew import Lost
from s2s_cli.data.excerpts import Choice
from s2s_cli.data.layouts import Clip, list_clips
from s2s_cli.data.shards import find_shards, load_photos, load_sounds, members_of
from s2s_cli.errors import ModelError, OutputError
from s2s_cli.networks.audio_encoder import AudioEncoderConfig
from s2s_cli.networks.image_encoder import ImageEncoderConfig
from s2s_cli.networks.localiser import Localiser, LocaliserConfig
from s2s_cli.pairing import Localising, Pairing, found_told, report_told, shards_of

pytestmark = pytest.mark.timeout(900)  # a busy machine may be many times slower

CHOICE = Choice(Select.EVEN, top=3, stretch_s=3.0, seconds=3.0, size_px=16)
VAL_SHARE = 0.4
SHARD_CLIPS = 3
OPTIONS = [
    *("--select", "even", "--top", 3, "--stretch", 3, "--seconds", 3, "--size", 16),
    *("--val-share", VAL_SHARE, "--shard-clips", SHARD_CLIPS),
]

# Of each video that gives something: how long it is, the number of its first picture, and each
# sample: when its sound begins, and when its frames are shown. All samples are 3 s.
GOOD = {
    "rain/a.mkv": (3, 0, [(0, "0.5 1.5 2.5")]),
    # A rest of 1 s is no stretch of its own; in 4 s three moments have three windows of 3 s.
    "rain/b.mov": (
        7, 30, [(0, "0.5 1.5 2.5"), (3, "3.6667"), (3.5, "5.0"), (4, "6.3333")],
    ),
    "snow/deep/c.mkv": (3, 100, [(0, "0.5 1.5 2.5")]),
    "snow/my walk.v2.mkv": (6, 130, [(0, "0.5 1.5 2.5"), (3, "3.5 4.5 5.5")]),
    "snow/pause.mkv": (9, 160, [(0, "0.5 1.5 2.5"), (6, "6.5 7.5 8.5")]),  # 3 to 6 s are silent
    "e.mkv": (3, 40, [(0, "0.5 1.5 2.5")]),
}  # fmt: skip
KEYS = {
    "rain/a.mkv": "rain/a%2Emkv",
    "rain/b.mov": "rain/b%2Emov",
    "snow/deep/c.mkv": "snow/deep%2Fc%2Emkv",
    "snow/my walk.v2.mkv": "snow/my%20walk%2Ev2%2Emkv",
    "snow/pause.mkv": "snow/pause%2Emkv",
    "e.mkv": "unnamed/e%2Emkv",
}
BAD = {
    "snow/empty.mp4": "cannot be read",
    "snow/text.mp4": "cannot be read",
    "rain/mute.mp4": "no sound track",
    "rain/short.mp4": "too short",
    "silent.mp4": "silent",
}


def noise(seconds: float, seed: int) -> np.ndarray:
    """(samples,) int16 of which no two windows are alike."""
    return np.random.default_rng(seed).integers(-8000, 8000, round(seconds * RATE)).astype(np.int16)


def sound_of(name: str) -> np.ndarray:
    """What is heard in a good video."""
    seconds, first, _ = GOOD[name]
    wave = noise(seconds, seed=first)
    if "pause" in name:
        wave[3 * RATE : 6 * RATE] = 0
    return wave


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for name, (seconds, first, _) in GOOD.items():
        numbered(root / name, seconds, sound_of(name), first)
    (root / "snow/empty.mp4").touch()
    (root / "snow/text.mp4").write_text("a video,\thonestly\n" * 99)
    numbered(root / "rain/mute.mp4", 1, None)
    numbered(root / "rain/short.mp4", 0.4, noise(0.4, 0))
    numbered(root / "silent.mp4", 1, noise(1, 0) * 0)
    return root


def pairing_of(videos: Path, out: Path, choice: Choice = CHOICE, **how) -> Pairing:
    listing = list_clips(Layout.FOLDER, videos, val_share=how.pop("val_share", VAL_SHARE))
    return Pairing(listing, videos, out, choice, **({"shard_clips": SHARD_CLIPS} | how))


@pytest.fixture(scope="module")
def made(videos, tmp_path_factory) -> Path:
    """The folder of the shards, made by two processes at one go."""
    out = tmp_path_factory.mktemp("made")
    report = pairing_of(videos, out).make(workers=2)
    assert json.loads((out / "report.json").read_bytes()) == report
    return out


def files(out: Path) -> dict[str, bytes]:
    """All that is not hidden."""
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name[0] != "."}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def samples(out: Path) -> dict[str, dict[str, tuple[str, bytes]]]:
    """Of each key, as WebDataset cuts names, its files and the shards that they lie in."""
    found: dict[str, dict[str, tuple[str, bytes]]] = {}
    for shard in sorted(out.glob("*.tar")):
        with tarfile.open(shard) as archive:
            for entry in archive:
                key, ending = re.fullmatch(r"((?:.*/|)[^.]+)[.]([^/]*)", entry.name).groups()
                assert ending not in found.setdefault(key, {})
                found[key][ending] = (shard.name, archive.extractfile(entry).read())
    return found


# What lies in the shards


def test_the_index_tells_each_sample_as_it_follows_by_hand(made):
    rows = {row["key"]: row for row in table(made / "index.tsv")}
    expected = [
        (f"{KEYS[name]}-{number:04d}", name, start_s, frames_s)
        for name, (_, _, parts) in GOOD.items()
        for number, (start_s, frames_s) in enumerate(parts)
    ]
    assert rows.keys() == {key for key, *_ in expected}
    for key, name, start_s, frames_s in expected:
        row = rows[key]
        assert (row["video"], float(row["start_s"]), row["seconds"]) == (name, start_s, "3.0")
        assert (row["frames_s"], row["scores"]) == (frames_s, "")
        assert row["scene"] == (name.split("/")[0] if "/" in name else "unnamed")


def test_the_shards_hold_what_the_index_says_in_its_order(made):
    rows, found = table(made / "index.tsv"), samples(made)
    assert [row["key"] for row in rows] == list(found)
    for shard in made.glob("*.tar"):
        assert shard.read_bytes().endswith(bytes(1024))  # as POSIX ends archives
    for row in rows:
        sample, frames_s = found[row["key"]], [float(at_s) for at_s in row["frames_s"].split()]
        assert list(sample) == ["flac", *(f"{n}.jpg" for n in range(len(frames_s)))]
        assert len({shard for shard, _ in sample.values()}) == 1
        _, first, _ = GOOD[row["video"]]
        for number, at_s in enumerate(frames_s):
            frame = Image.open(io.BytesIO(sample[f"{number}.jpg"][1]))
            assert (frame.format, frame.size) == ("JPEG", (24, 16))
            assert number_of(np.asarray(frame)) == first + int(10 * at_s)


def test_sounds_are_mono_flac_at_16_khz_and_the_videos_own_to_the_sample(made):
    found = samples(made)
    for row in table(made / "index.tsv"):
        flac = found[row["key"]]["flac"][1]
        about = soundfile.info(io.BytesIO(flac))
        assert (about.format, about.subtype) == ("FLAC", "PCM_16")
        assert (about.samplerate, about.channels) == (16_000, 1)
        first = round(float(row["start_s"]) * RATE)
        wave, _ = soundfile.read(io.BytesIO(flac), dtype="int16")
        assert np.array_equal(wave, sound_of(row["video"])[first : first + 3 * RATE])


def test_every_clip_lies_in_the_shards_of_its_split(made, videos):
    splits = {
        clip.key: clip.split for clip in list_clips(Layout.FOLDER, videos, val_share=0.4).clips
    }
    assert set(splits.values()) == {"train", "val"}
    for row in table(made / "index.tsv"):
        (shard,) = {shard for shard, _ in samples(made)[row["key"]].values()}
        assert row["split"] == splits[row["key"][:-5]]
        assert re.fullmatch(row["split"] + r"-0000\d\.tar", shard)


def test_what_learns_from_pairs_reads_these(made):
    """By key, with each frame of a sample beside its sound."""
    rows = [row for row in table(made / "index.tsv") if row["split"] == "train"]
    shards = find_shards(made, "train-*.tar")
    photos, sounds = load_photos(shards, 16), load_sounds(shards, 16_000)
    assert list(sounds.keys) == [row["key"] for row in rows]
    assert list(photos.keys) == [row["key"] for row in rows for _ in row["frames_s"].split()]
    assert members_of(shards, (".tsv",)) == []


# What gives nothing


def test_broken_videos_are_named_with_their_reason_and_stop_nobody(made, videos):
    rows = {row["video"]: row for row in table(made / "skipped.tsv")}
    assert {name: row["reason"] for name, row in rows.items()} == BAD
    splits = {
        clip.key: clip.split for clip in list_clips(Layout.FOLDER, videos, val_share=0.4).clips
    }
    for name, row in rows.items():
        assert row["split"] == splits[row["key"]]
        assert (f"'{videos / name}'" in row["detail"]) == (row["reason"] == "cannot be read")


def test_the_report_counts_what_was_used_and_what_was_not(made, videos):
    report = json.loads((made / "report.json").read_bytes())
    clips = list_clips(Layout.FOLDER, videos, val_share=0.4).clips
    good = [clip for clip in clips if clip.key in KEYS.values()]
    rows = table(made / "index.tsv")
    settings = report.pop("settings")
    assert report == {
        "videos": 11,
        "clips": dict(Counter(clip.split for clip in clips)),
        "listed": 11,
        "missing": 0,
        "found_share": 1.0,
        "videos_used": 6,
        "clips_used": dict(Counter(clip.split for clip in good)),
        "samples": dict(Counter(row["split"] for row in rows)),
        "frames": 27,  # 3 in each stretch
        "skipped": {"cannot be read": 2, "no sound track": 1, "silent": 1, "too short": 1},
        "stretches_left_out": {"silent": 1},
    }
    assert sum(report["samples"].values()) == 11
    assert (settings["select"], settings["top"], settings["shard-clips"]) == ("even", 3, 3)


def test_a_report_is_told_in_a_few_lines(made, videos, tmp_path):
    report = json.loads((made / "report.json").read_bytes())
    train, val = report["samples"]["train"], report["samples"]["val"]
    assert report_told(report) == [
        f"6 of 11 videos gave 11 samples: {train} train, {val} val.",
        "Clips left out, as skipped.tsv lists them: 2 cannot be read, 1 no sound track, 1 silent, "
        "1 too short.",
        "Stretches left out of other clips: 1 silent.",
    ]
    found = pairing_of(videos, tmp_path, val_share=0).found
    assert found_told(found) == ["11 clips of 11 videos: 11 train."]
    assert found_told(found | {"listed": 44, "missing": 33, "found_share": 0.25}) == [
        "11 clips of 11 videos: 11 train.",
        "11 of 44 that are listed were found (25.0%).",
    ]


def test_a_video_that_crashes_what_reads_it_is_left_out_and_the_others_are_not(videos, tmp_path):
    """There is one with the deadly number."""
    choice = Choice(rate=1, stretch_s=3.0, seconds=3.0, size_px=16)
    pairing = pairing_of(videos, tmp_path, choice, open_scorer=Deadly, localiser="pocket")
    pairing.make(workers=2)
    reasons = {row["video"]: row["reason"] for row in table(tmp_path / "skipped.tsv")}
    assert reasons == BAD | {"snow/pause.mkv": "crashes what reads it"}
    assert {row["video"] for row in table(tmp_path / "index.tsv")} == GOOD.keys() - reasons.keys()


def test_a_video_that_is_read_without_end_is_left_out(videos, tmp_path, monkeypatch):
    def patient_with_nobody(jobs, prepare, workers):
        yield from ((job, Lost.HUNG) for job in jobs)

    monkeypatch.setattr(pairing_module, "answers", patient_with_nobody)
    report = pairing_of(videos, tmp_path).make(workers=1)
    assert report["skipped"] == {"is read without end": 11}
    assert (report["samples"], report["frames"]) == ({}, 0)
    assert list(tmp_path.glob("*.tar")) == []


# However it came about


def test_one_process_writes_the_same_bytes_as_two(videos, made, tmp_path):
    pairing_of(videos, tmp_path).make(workers=1)
    assert files(tmp_path) == files(made)
    assert {"index.tsv", "skipped.tsv", "report.json", "train-00000.tar", "val-00000.tar"} < set(
        files(made)
    )


def test_stopped_after_each_clip_it_goes_on_where_it_was(videos, made, tmp_path):
    class StoppedError(Exception):
        pass

    def stop():
        raise StoppedError

    done = [0]
    while done[-1] < 11:
        with pytest.raises(StoppedError) as stopped:
            pairing_of(videos, tmp_path).make(1, advance=stop)
        assert stopped.tb is not None  # whoever looks at the fault keeps no process
        assert multiprocessing.active_children() == []
        done.append(pairing_of(videos, tmp_path).done)
        assert done[-1] > done[-2]
    read = []
    pairing_of(videos, tmp_path).make(1, advance=lambda: read.append(1))
    assert (read, files(tmp_path)) == ([], files(made))


def test_killed_at_any_moment_it_goes_on_and_the_bytes_are_the_same(videos, made, tmp_path):
    """Alone, and its processes then end by themselves; or with all of them."""
    words = [sys.executable, "-m", "s2s_cli", "pairs", videos, "-o", tmp_path, *OPTIONS]
    kills = 0
    while (done := pairing_of(videos, tmp_path).done) < 11:
        process = subprocess.Popen(
            [*map(str, words), "--workers", "1"], stderr=subprocess.PIPE, start_new_session=True
        )
        while process.poll() is None and pairing_of(videos, tmp_path).done < done + 2:
            time.sleep(0.001)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL) if kills % 2 else process.kill()
        _, said = process.communicate(timeout=600)  # until no process can write to it any more
        kills += process.returncode == -9
        assert b"Traceback" not in said
    assert kills >= 2
    pairing_of(videos, tmp_path).make(workers=1)
    assert files(tmp_path) == files(made)


def test_killed_in_the_middle_of_writing(videos, made, tmp_path):
    """Written are the settings, a shard and its log, and so on; then index, skipped, report."""
    words = ("pairs", videos, "-o", tmp_path, *OPTIONS, "--workers", 1, "-q")
    for number in (1, 2, 3, 5):
        process = start_and_die_at_write(number, *words)
        process.join()
        assert process.exitcode == -9
    process = start(*words)
    process.join()
    assert process.exitcode == 0
    assert files(tmp_path) == files(made)
    assert not list(tmp_path.glob(".s2s-*"))  # no half shards beside the whole ones
    for number in (2, 4):
        process = start_and_die_at_write(number, *words)
        process.join()
        assert process.exitcode == -9
        assert files(tmp_path) == files(made)  # what was whole stays so
    assert not list(tmp_path.glob("*/*/"))  # parts are needed no more


def test_a_finished_folder_is_left_as_it_is(videos, made, tmp_path, monkeypatch):
    pairing_of(videos, tmp_path).make(workers=1)
    (shard,) = tmp_path.glob("val-00000.tar")
    before = shard.stat()
    report = pairing_of(videos, tmp_path).make(workers=1)
    assert report == json.loads((made / "report.json").read_bytes())
    assert (shard.stat().st_ino, shard.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert pairing_of(videos, tmp_path).done == 11


# What is refused


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"choice": Choice(Select.MIDDLE)}, "was begun with --select even, not middle"),
        (
            {"choice": Choice(Select.EVEN, top=2, stretch_s=3.0, seconds=3.0, size_px=16)},
            "was begun with --top 3, not 2",
        ),
        ({"shard_clips": 4}, "was begun with --shard-clips 3, not 4"),
        ({"val_share": 0}, "was begun with other videos or splits than '{videos}' gives now"),
    ],
)
def test_other_settings_than_it_was_begun_with_are_refused(videos, made, how, sentence):
    before = files(made)
    pairing = pairing_of(videos, made, **how)
    for use in (pairing.check, lambda: pairing.make(1)):
        with pytest.raises(OutputError) as refusal:
            use()
        told = sentence.format(videos=videos)
        assert str(refusal.value) == f"'{made}' {told}: choose another with --out."
    assert files(made) == before


def test_other_videos_and_another_localiser_are_refused(videos, tmp_path, tiny_model, deaf_model):
    few = tmp_path / "few"
    for name in ("e.mkv", "rain/a.mkv"):
        (few / name).parent.mkdir(parents=True, exist_ok=True)
        (few / name).write_bytes((videos / name).read_bytes())
    out = tmp_path / "out"
    choice = Choice(rate=1, seconds=3)

    def pairing(localiser):
        return pairing_of(few, out, choice, open_scorer=Angles, localiser=localiser)

    pairing(str(tiny_model)).make(workers=1)
    with pytest.raises(
        OutputError, match="begun with another --localiser: choose another with --o"
    ):
        pairing(str(deaf_model)).check()
    (few / "rain/a.mkv").rename(few / "rain/z.mkv")
    with pytest.raises(OutputError, match=r"begun with other videos or splits than '.*few' gives"):
        pairing(str(tiny_model)).check()


def test_a_folder_of_something_else_is_left_alone(videos, tmp_path):
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(OutputError, match=r"holds something else already: .* with --out\.$"):
        pairing_of(videos, tmp_path).make(workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(OutputError, match=r"holds something else already"):
        pairing_of(videos, videos).check()  # the videos themselves
    with pytest.raises(OutputError, match="Cannot write"):
        pairing_of(videos, tmp_path / "thesis.txt").make(workers=1)
    assert (tmp_path / "thesis.txt").read_text() == "all of it"


def test_a_model_that_cannot_choose_ends_all_and_another_may_follow(
    videos, tmp_path, style_model, tiny_model
):
    choice = Choice(rate=1, stretch_s=3.0, seconds=3.0, size_px=16)
    with pytest.raises(ModelError, match="restyles pictures and cannot localise sounds in any"):
        pairing_of(videos, tmp_path, choice, localiser=str(style_model)).make(workers=1)
    pairing = pairing_of(videos, tmp_path, choice, localiser=str(tiny_model), open_scorer=Angles)
    assert pairing.done == 0
    assert pairing.make(workers=1)["videos_used"] == 6
    with pytest.raises(ModelError, match="There is no model called 'pokcet'"):
        pairing_of(videos, tmp_path / "other", choice, localiser="pokcet")


# Shards


def test_each_clip_is_in_one_shard_and_its_place_follows_from_its_key():
    clips = [
        Clip(f"{scene}/{number}", Path("v.mp4"), split=split)
        for scene in ("rain", "snow")
        for split, count in (("train", 100), ("val", 7))
        for number in range(count)
        for scene in [f"{scene}-{split}"]
    ]
    shards = shards_of(clips, each=32)
    assert [(shard.name, len(shard.clips)) for shard in shards] == [
        *(("train-00000", 32), ("train-00001", 32), ("train-00002", 32), ("train-00003", 32)),
        *(("train-00004", 32), ("train-00005", 32), ("train-00006", 8), ("val-00000", 14)),
    ]
    assert sorted((clip for shard in shards for clip in shard.clips), key=id) == sorted(
        clips, key=id
    )
    assert shards_of(clips[::-1], each=32) == shards
    for shard in shards[:-2]:  # 16 of each are expected; 4 are 4 standard deviations below
        scenes = Counter(clip.key.split("-")[0] for clip in shard.clips)
        assert min(scenes["rain"], scenes["snow"]) > 4
    digests = [hashlib.sha256(clip.key.encode()).digest() for s in shards[:7] for clip in s.clips]
    assert digests == sorted(digests)


# Which moments are kept

PITCHES_HZ = (200, 900, 400, 1300, 600, 1100)  # in each of six seconds


@pytest.fixture(autouse=True)
def _threads():
    """A localiser takes one, which is for its own process alone."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tunes(tmp_path_factory) -> Path:
    """Six seconds of six tones."""
    root = tmp_path_factory.mktemp("tunes")
    time_s = np.arange(RATE) / RATE
    wave = np.concatenate([np.sin(2 * np.pi * hertz * time_s) for hertz in PITCHES_HZ])
    numbered(root / "tunes.mkv", 6, np.rint(wave * 9000).astype(np.int16))
    return root


@pytest.mark.parametrize("top", [1, 2, 4])
def test_kept_are_the_moments_whose_picture_and_sound_agree_best(tunes, tmp_path, top):
    """C_av[t] = q_V(t) . q_A(t), here the cosine between two angles."""
    choice = Choice(top=top, rate=1, stretch_s=6, seconds=1, size_px=16)
    pairing_of(tunes, tmp_path, choice, open_scorer=Angles, localiser="pocket").make(workers=1)
    agreement = {
        second + 0.5: np.cos(seen_rad(10 * second + 5) - heard_rad(hertz))
        for second, hertz in enumerate(PITCHES_HZ)
    }
    best = sorted(agreement, key=agreement.get)[-top:]
    rows = table(tmp_path / "index.tsv")
    assert [float(row["frames_s"]) for row in rows] == sorted(best)
    for row in rows:
        at_s = float(row["frames_s"])
        assert float(row["scores"]) == pytest.approx(agreement[at_s], abs=1e-4)
        assert float(row["start_s"]) == at_s - 0.5
        frame = samples(tmp_path)[row["key"]]["0.jpg"][1]
        assert number_of(np.asarray(Image.open(io.BytesIO(frame)))) == 10 * at_s


def test_frames_of_one_sound_are_ranked(tunes, tmp_path):
    choice = Choice(top=6, rate=1, stretch_s=6, seconds=6, size_px=16)
    pairing_of(tunes, tmp_path, choice, open_scorer=Angles, localiser="pocket").make(workers=1)
    (row,) = table(tmp_path / "index.tsv")
    scores = [float(score) for score in row["scores"].split()]
    assert scores == sorted(scores, reverse=True)
    assert sorted(row["frames_s"].split()) == ["0.5", "1.5", "2.5", "3.5", "4.5", "5.5"]
    assert row["frames_s"].split() != sorted(row["frames_s"].split())


def test_a_models_scores_are_what_its_networks_say_of_each_moment_alone(tiny_model, monkeypatch):
    """Of 5 moments, 2 at once; sounds shorter than the model hears are repeated."""
    monkeypatch.setattr(pairing_module, "AT_ONCE", 2)
    chance = np.random.default_rng(0)
    pictures = list(chance.integers(0, 256, (5, 32, 40, 3)).astype(np.uint8))
    waves = [(chance.normal(0, 0.1, n)).astype(np.float32) for n in (160_000, 90_000, 8000, 1, 7)]
    localising = Localising(str(tiny_model))
    scores = localising.score(pictures, waves)
    assert localising.seconds == 10.0
    localiser = registry.open_localiser(tiny_model)
    for picture, wave, score in zip(pictures, waves, scores, strict=True):
        heard = torch.from_numpy(np.tile(wave, -(-160_000 // len(wave)))[:160_000])[None]
        seen = torch.from_numpy(picture).permute(2, 0, 1)[None] / 127.5 - 1
        expected = localiser.score(seen, FRONT_ENDS["loudness"](heard)).item()
        assert score == pytest.approx(expected, abs=1e-5)
    assert len({round(score, 3) for score in scores}) > 2


def test_a_localiser_hears_every_sound_at_the_peak_that_it_was_taught_with(tmp_path):
    def heard_at(peak):
        audio = AudioEncoderConfig(
            replace(TINY_RESNET, in_channels=1), features=16, front_end="loudness",
            seconds=1.0, relu=False, peak=peak,
        )  # fmt: skip
        image = ImageEncoderConfig(TINY_RESNET, squash_px=0, picture_px=32)
        folder = tmp_path / str(peak)
        localiser = randomise(Localiser(LocaliserConfig(image, audio)), seed=0)
        registry.save_network(folder / registry.LOCALISER, localiser)
        registry.write_sums(folder)
        localising = Localising(str(folder))
        assert localising.seconds == 1.0
        loud = noise(1, 0) / np.float32(32768)
        return localising.score([np.full((32, 32, 3), 99, np.uint8)] * 2, [loud, loud / 50])

    loud, quiet = heard_at(0.0)
    assert loud != pytest.approx(quiet, abs=1e-3)
    loud, quiet = heard_at(0.5)
    assert loud == pytest.approx(quiet, abs=1e-5)


# Pictures and sounds that are matched already


def test_matched_pictures_and_sounds_need_no_localiser(tmp_path):
    for name, shade in (("x", 30), ("y", 220)):
        for folder in ("images", "audios"):
            (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (shade,) * 3).save(tmp_path / "data/images" / f"{name}.png")
        soundfile.write(tmp_path / "data/audios" / f"{name}.wav", noise(2, shade), RATE)
    (tmp_path / "data/images/lonely.png").touch()
    listing = list_clips(Layout.PAIRS, tmp_path / "data", val_share=0)
    out = tmp_path / "out"
    pairing = Pairing(listing, tmp_path / "data", out, Choice(), open_scorer=Deadly, localiser="no")
    report = pairing.make(workers=1)
    assert (report["samples"], report["frames"], report["missing"]) == ({"train": 2}, 2, 1)
    assert "localiser" not in report["settings"]
    for key, sample in samples(out).items():
        wave, _ = soundfile.read(io.BytesIO(sample["flac"][1]), dtype="int16")
        shade = {"unnamed/x-0000": 30, "unnamed/y-0000": 220}[key]
        assert np.array_equal(wave, noise(2, shade))
        frame = np.asarray(Image.open(io.BytesIO(sample["0.jpg"][1])))
        assert np.abs(frame.astype(int) - shade).max() <= 2
    assert {row["frames_s"] for row in table(out / "index.tsv")} == {""}
