"""``s2s pairs``, as the shell meets it: a folder of videos becomes shards to learn from."""

import csv
import io
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from made_videos import make_videos
from PIL import Image
from videos import heard, number_of, numbered, shown

from s2s_cli.audio.spectrogram import FRONT_ENDS
from s2s_cli.choices import Layout, Select
from s2s_cli.registry import open_localiser

RATE = 16_000  # Hz
QUICK = ("--select", "middle", "--workers", 1)

pytestmark = pytest.mark.timeout(900)  # a busy machine may be many times slower


def noise(seconds: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-8000, 8000, round(seconds * RATE)).astype(np.int16)


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """Two that give something, and one that does not."""
    root = tmp_path_factory.mktemp("videos")
    numbered(root / "rain" / "a.mkv", 3, noise(3, 0), first=10)
    numbered(root / "b.mkv", 2, noise(2, 1), first=100)
    (root / "rain" / "broken.mp4").write_text("no video")
    return root


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


def words(text: str) -> str:
    """As one line, however the terminal broke it."""
    return " ".join(text.replace("│", " ").split())


def index(out: Path) -> list[dict[str, str]]:
    with (out / "index.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def frames(out: Path) -> dict[str, int]:
    """The number that each frame tells, by its name in the shards."""
    numbers = {}
    for shard in out.glob("*.tar"):
        with tarfile.open(shard) as archive:
            for entry in archive:
                if entry.name.endswith(".jpg"):
                    picture = Image.open(io.BytesIO(archive.extractfile(entry).read()))
                    numbers[entry.name] = number_of(np.asarray(picture))
    return numbers


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


# What it makes, and says


def test_only_the_folder_is_printed_and_what_became_of_the_videos_is_told(s2s, videos, out):
    said = s2s("pairs", videos, "-o", out, *QUICK, "--val-share", 0)
    assert (said.code, said.lines) == (0, [str(out)])
    assert said.err.splitlines() == [
        "3 clips of 3 videos: 3 train.",
        "2 of 3 videos gave 2 samples: 2 train.",
        "Clips left out, as skipped.tsv lists them: 1 cannot be read.",
    ]
    assert frames(out) == {"rain/a%2Emkv-0000.0.jpg": 25, "unnamed/b%2Emkv-0000.0.jpg": 110}
    again = s2s("pairs", videos, "-o", out, *QUICK, "--val-share", 0)
    assert (again.code, again.lines) == (0, [str(out)])
    assert again.err.splitlines()[1] == "3 of 3 clips were read before."
    assert s2s("pairs", videos, "-o", out, *QUICK, "--val-share", 0, "--quiet").err == ""


def test_the_default_folder_is_pairs_and_json_is_the_report_on_one_line(
    s2s, videos, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    said = s2s("pairs", videos, *QUICK, "--json")
    (line,) = said.lines
    told = json.loads(line)
    assert (told.pop("path"), told.pop("status")) == ("pairs", "written")
    assert told == json.loads(Path("pairs/report.json").read_bytes())
    assert (told["videos_used"], told["skipped"]) == (2, {"cannot be read": 1})


def test_a_dry_run_tells_what_there_is_and_writes_nothing(s2s, videos, out):
    said = s2s("pairs", videos, "-o", out, *QUICK, "--val-share", 0, "--dry-run", "--json")
    assert said.code == 0
    assert json.loads(said.out) == {
        "path": str(out), "status": "planned", "videos": 3, "clips": {"train": 3},
        "listed": 3, "missing": 0, "found_share": 1.0,
    }  # fmt: skip
    assert not out.exists()
    assert s2s("pairs", videos, "-o", out, *QUICK, "--dry-run").lines == [str(out)]
    assert not out.exists()


def test_stretches_moments_and_sizes_are_options(s2s, tmp_path, out):
    numbered(tmp_path / "videos" / "a.mkv", 4, noise(4, 0))
    options = ("--select", "even", "--top", 2, "--stretch", 2, "--seconds", 2, "--size", 16)
    assert s2s("pairs", tmp_path / "videos", "-o", out, *options, "--val-share", 0).code == 0
    assert frames(out) == {
        "unnamed/a%2Emkv-0000.0.jpg": 5, "unnamed/a%2Emkv-0000.1.jpg": 15,
        "unnamed/a%2Emkv-0001.0.jpg": 25, "unnamed/a%2Emkv-0001.1.jpg": 35,
    }  # fmt: skip
    assert [row["seconds"] for row in index(out)] == ["2.0", "2.0"]


def test_a_seed_and_a_share_part_the_videos(s2s, tmp_path):
    for number in range(8):
        numbered(tmp_path / "videos" / f"{number}.mkv", 0.5, noise(0.5, number))

    def validating(*options):
        said = s2s("pairs", tmp_path / "videos", *QUICK, "--dry-run", "--json", *options)
        return json.loads(said.out)["clips"].get("val", 0)

    assert validating("--val-share", 0) == 0
    assert len({validating("--val-share", 0.5, "-s", seed) for seed in range(6)}) > 1


# Which moments


def test_a_localiser_keeps_the_moments_that_it_scores_highest(s2s, tmp_path, out, tiny_model):
    """By what the network says of each moment as another decoder shows it."""
    root = tmp_path / "videos"
    root.mkdir()
    for number, video in enumerate(make_videos(2, seconds=4)):
        video.write(root / f"{number}.mkv")
    options = ("--localiser", tiny_model, "--top", 2, "--seconds", 4, "--workers", 1)
    said = s2s("pairs", root, "-o", out, *options, "--val-share", 0)
    assert said.code == 0, said.err
    localiser, moments_s = open_localiser(tiny_model), [0.25 + 0.5 * n for n in range(8)]
    rows = {row["video"]: row for row in index(out)}
    assert rows.keys() == {"0.mkv", "1.mkv"}
    for video, row in rows.items():
        pictures, (wave, rate) = shown(root / video), heard(root / video)
        assert (len(pictures), rate) == (8, RATE)
        # Shorter than the 10 s that it hears: all of it, repeated, at each moment.
        whole = torch.from_numpy(np.tile(wave[0] / np.float32(32768), 3)[: 10 * RATE])
        seen = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1
        with torch.inference_mode():
            scores = localiser.score(seen, FRONT_ENDS["loudness"](whole.expand(8, -1))).tolist()
        best = sorted(range(8), key=lambda n: -scores[n])[:2]
        assert [float(at_s) for at_s in row["frames_s"].split()] == [moments_s[n] for n in best]
        kept = [float(score) for score in row["scores"].split()]
        assert kept == pytest.approx([scores[n] for n in best], abs=1e-3)


def test_the_model_that_comes_along_chooses_where_none_is_named(s2s, tmp_path, out):
    root = tmp_path / "videos"
    root.mkdir()
    for number, video in enumerate(make_videos(1, seconds=2)):
        video.write(root / f"{number}.mp4")
    assert s2s("pairs", root, "-o", out, "--workers", 1, "--val-share", 0).code == 0
    (row,) = index(out)
    assert float(row["frames_s"]) in (0.25, 0.75, 1.25, 1.75)
    assert -1 <= float(row["scores"]) <= 1


@pytest.fixture
def vggsound(tmp_path) -> Path:
    root = tmp_path / "vggsound"
    for number, name in enumerate(("9fhhMaXTraI_000044", "G_JwMzRLRNo_000252")):
        numbered(root / f"{name}.mkv", 10, noise(10, number), first=100 * number)
    (root / "vggsound.csv").write_text(
        "9fhhMaXTraI,44,hail,train\nG_JwMzRLRNo,252,hail,train\nzzzzzzzzzzz,7,hail,train\n"
        "abcdefghijk,7,playing erhu,train\n"
    )
    (root / "moments.json").write_text(json.dumps({"9fhhMaXTraI_44000_54000": [47, 3, 90]}))
    return root


def test_annotated_moments_of_vggsound_are_taken_best_first(s2s, vggsound, out):
    """They are counted from 1, at ten a second."""
    said = s2s(
        *("pairs", vggsound, "-o", out, "--layout", "vggsound", "--workers", 1, "--val-share", 0),
        *("--annotations", vggsound / "moments.json", "--top", 2),
    )
    assert said.code == 0, said.err
    (row,) = index(out)
    assert (row["frames_s"], row["seconds"]) == ("4.65 0.25", "10.0")
    assert list(frames(out).values()) == [46, 2]
    assert "2 of 3 that are listed were found (66.7%)." in said.err
    assert "1 no annotated moment" in said.err


def test_classes_are_chosen_by_a_file_or_all(s2s, vggsound, out):
    def listed(*classes):
        plan = ("--layout", "vggsound", "--dry-run", "--json", *QUICK, *classes)
        return json.loads(s2s("pairs", vggsound, "-o", out, *plan).out)["listed"]

    (vggsound / "classes.txt").write_text("playing erhu\nhail\n")
    assert listed() == 3
    assert listed("--classes", "all") == 4
    assert listed("--classes", vggsound / "classes.txt") == 4
    (vggsound / "classes.txt").write_text("playing erhoo\n")
    said = s2s(
        *("pairs", vggsound, "--layout", "vggsound", "--classes", vggsound / "classes.txt"), *QUICK
    )
    assert (said.code, said.out) == (1, "")
    assert "did you mean 'playing erhu'?" in said.err


# From pairs to a model


def test_matched_pictures_and_sounds_can_be_learned_from_at_once(s2s, tmp_path, out, tiny_recipe):
    for number in range(16):
        for folder in ("images/rain", "audios/rain"):
            (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
        picture = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(picture).save(tmp_path / "data/images/rain" / f"{number}.png")
        soundfile.write(tmp_path / "data/audios/rain" / f"{number}.wav", noise(1, number), RATE)
    said = s2s(
        *("pairs", tmp_path / "data", "-o", out, "--layout", "pairs", "--workers", 1),
        *("--val-share", 0, "--shard-clips", 10),
    )
    assert (said.code, said.lines) == (0, [str(out)]), said.err
    assert sorted(path.name for path in out.glob("*.tar")) == ["train-00000.tar", "train-00001.tar"]
    rows = index(out)
    assert [row["scene"] for row in rows] == ["rain"] * 16
    assert {row["seconds"] for row in rows} == {"1.0"}
    text = tiny_recipe.read_text()
    shards = 'photos = "train-*.tar"\nsounds = "train-*.tar"\npairs-by = "key"\n'
    tiny_recipe.write_text(text.replace("[data]\n", "[data]\n" + shards))
    plan = s2s("train", tiny_recipe, "--data", out, "-o", tmp_path / "run", "--dry-run")
    assert plan.code == 0, plan.err
    assert plan.lines[:2] == ["photos\t16", "sounds\t16"]


# What is refused, in a sentence


def refused(said, code: int = 1) -> str:
    assert (said.code, said.out) == (code, "")
    if code == 1:
        assert said.err.startswith("error: ")
        assert said.err.count("\n") == 1
    return words(said.err)


def test_a_folder_that_is_missing_or_no_folder_or_holds_no_videos(s2s, videos, tmp_path, out):
    assert "There is no folder" in refused(s2s("pairs", tmp_path / "gone", "-o", out))
    assert "There is no folder" in refused(s2s("pairs", videos / "b.mkv", "-o", out))
    (tmp_path / "empty").mkdir()
    assert "There are no videos below" in refused(s2s("pairs", tmp_path / "empty", "-o", out))
    said = s2s("pairs", videos, "-o", out, "--layout", "vggsound")
    assert "There is no vggsound.csv in" in refused(said)
    assert not out.exists()


def test_a_run_on_nothing_usable_ends_with_1_and_says_where_to_look(s2s, tmp_path, out):
    root = tmp_path / "videos"
    numbered(root / "mute.mp4", 1, None)
    (root / "empty.webm").touch()
    for _ in range(2):  # it stays so
        said = s2s("pairs", root, "-o", out, *QUICK)
        assert said.code == 1
        assert (
            said.err.splitlines()[-1]
            == f"error: Nothing was found to train on: '{out / 'skipped.tsv'}' says why."
        )
    assert list(out.glob("*.tar")) == []
    with (out / "skipped.tsv").open(newline="") as file:
        rows = {row["video"]: row["reason"] for row in csv.DictReader(file, delimiter="\t")}
    assert rows == {"mute.mp4": "no sound track", "empty.webm": "cannot be read"}


def test_a_folder_that_is_not_ours_or_was_begun_otherwise(s2s, videos, tmp_path, out):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").touch()
    for dry_run in ([], ["--dry-run"]):
        said = s2s("pairs", videos, "-o", tmp_path / "mine", *QUICK, *dry_run)
        assert "holds something else already" in refused(said)
    s2s("pairs", videos, "-o", out, *QUICK)
    before = files(out)
    said = s2s("pairs", videos, "-o", out, *QUICK, "--size", 128)
    assert "was begun with --size 256, not 128: choose another with --out." in refused(said)
    said = s2s("pairs", videos, "-o", out, *QUICK, "--seed", 5, "--val-share", 0.9)
    assert "was begun with other videos or splits than" in refused(said)
    assert files(out) == before


def test_models_that_do_not_exist_or_cannot_choose(s2s, videos, out, style_model):
    said = s2s("pairs", videos, "-o", out, "--localiser", "pokcet")
    assert "There is no model called 'pokcet'. Did you mean 'pocket'?" in refused(said)
    said = s2s("pairs", videos, "-o", out, "--localiser", style_model, "--workers", 1)
    assert said.code == 1
    assert "cannot localise sounds in any" in said.err.splitlines()[-1]
    # It may be tried with another.
    assert s2s("pairs", videos, "-o", out, *QUICK).code == 0


@pytest.mark.parametrize(
    "options",
    [
        ["--top", 0], ["--top", 101], ["--rate", 0], ["--rate", "nan"], ["--stretch", 0.1],
        ["--seconds", "nan"], ["--size", 8], ["--val-share", 1], ["--val-share", "nan"],
        ["--seed", -1], ["--shard-clips", 0], ["--workers", 0], ["--select", "best"],
        ["--layout", "youtube"], ["--select", "annotated"],
        ["--annotations", "moments.json", "--select", "middle"],
    ],
    ids=lambda options: " ".join(map(str, options)),
)  # fmt: skip
def test_options_out_of_range_are_wrong_usage(s2s, videos, out, options):
    refused(s2s("pairs", videos, "-o", out, *options), code=2)
    assert not out.exists()


def test_help_names_every_choice(s2s):
    said = s2s("pairs", "--help")
    assert said.code == 0
    for choice in (*Layout, *Select):
        assert choice.value in said.out
    for word in ("skipped.tsv", "index.tsv", "report.json", "s2s train --data DIR"):
        assert word in words(said.out)


# Ctrl-C


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_so_and_the_same_command_goes_on(s2s, tmp_path, out, sent, code):
    root = tmp_path / "videos"
    first = numbered(root / "00.mkv", 1, noise(1, 0))
    for number in range(1, 40):
        shutil.copy(first, root / f"{number:02d}.mkv")
    whole = tmp_path / "whole"
    command = ("pairs", root, *QUICK, "--shard-clips", 8, "-o")
    process = subprocess.Popen(
        [sys.executable, "-m", "s2s_cli", *map(str, command), out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell lets its background jobs ignore Ctrl-C, and these tests may be one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.poll() is None and not list(out.glob(".pairs/*/*.json")):
        time.sleep(0.001)
    # As a terminal does it: all of its processes hear it. Others, as systems do, tell one alone.
    if sent == signal.SIGINT:
        os.killpg(process.pid, sent)
    else:
        process.send_signal(sent)
    said, err = process.communicate(timeout=600)
    assert (process.returncode, said) == (code, "")
    assert "Traceback" not in err
    assert ("Stopped: the same command goes on from here." in err) == (sent == signal.SIGINT)
    assert not (out / "report.json").exists()
    again = s2s(*command, out)
    assert again.code == 0
    assert "of 40 clips were read before." in again.err
    s2s(*command, whole)
    assert files(out) == files(whole)
    assert multiprocessing.active_children() == []
