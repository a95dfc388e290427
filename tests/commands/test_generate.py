"""``s2s generate``, ``info`` and ``redo`` on a tiny model."""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from PIL import Image
from rich.console import Console

from s2s_cli import __version__, console
from s2s_cli.picture.image import encode
from s2s_cli.picture.provenance import Provenance, read_provenance


@pytest.fixture
def generate(s2s, tiny_model):
    """``s2s generate`` with the tiny model."""
    return lambda *arguments: s2s("generate", "--model", tiny_model, *arguments)


def pixels(path) -> np.ndarray:
    with Image.open(path) as file:
        return np.asarray(file.convert("RGB"))


def test_a_sound_becomes_a_picture_named_after_it_and_only_its_path_is_printed(
    generate, low_wav, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    said = generate(low_wav)
    assert (said.code, said.lines) == (0, ["low.png"])
    assert pixels("low.png").shape == (32, 32, 3)
    assert pixels("low.png").std() > 0


def test_sounds_and_seeds_make_different_pictures(generate, low_wav, high_wav, tmp_path):
    said = generate(low_wav, high_wav, "-n", 2, "-o", tmp_path / "out")
    assert [line.rsplit("/")[-1] for line in said.lines] == [
        "low-seed0.png", "low-seed1.png", "high-seed0.png", "high-seed1.png",
    ]  # fmt: skip
    assert len({pixels(line).tobytes() for line in said.lines}) == 4


def test_bytes_do_not_depend_on_what_else_is_painted(generate, low_wav, high_wav, tmp_path):
    alone = generate(low_wav, "-s", 1, "-o", tmp_path / "a.png").lines[0]
    many = generate(high_wav, low_wav, "-n", 3, "-o", tmp_path / "many").lines
    among = next(line for line in many if line.endswith("low-seed1.png"))
    assert Path(alone).read_bytes() == Path(among).read_bytes()


def test_a_batch_goes_on_where_it_was_and_never_overwrites_by_itself(generate, low_wav, tmp_path):
    out = tmp_path / "out.png"
    first = generate(low_wav, "-o", out)
    written = out.stat().st_mtime_ns
    assert json.loads(generate(low_wav, "-o", out, "--json").out)["status"] == "kept"
    assert out.stat().st_mtime_ns == written

    refused = generate(low_wav, "-o", out, "--seed", 5)
    assert (refused.code, refused.out) == (1, "")
    assert "made in another way: replace it with --force" in refused.err
    assert out.stat().st_mtime_ns == written

    assert generate(low_wav, "-o", out, "--seed", 5, "--force").code == 0
    assert out.stat().st_mtime_ns != written
    assert first.code == 0


def test_a_foreign_file_is_not_overwritten(generate, low_wav, tmp_path):
    out = tmp_path / "out.png"
    out.write_text("my notes")
    assert generate(low_wav, "-o", out).code == 1
    assert out.read_text() == "my notes"


def test_one_bad_file_among_many_is_told_and_the_rest_goes_on(
    generate, low_wav, high_wav, tmp_path
):
    (tmp_path / "text.wav").write_text("not a sound")
    said = generate(low_wav, tmp_path / "text.wav", high_wav, "-o", tmp_path / "out")
    assert said.code == 1
    assert len(said.lines) == 2
    assert said.err.count("error:") == 1
    assert "text.wav" in said.err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["high.png", "low.png"]


def test_a_folder_keeps_its_shape_and_equal_names_stay_apart(generate, low_wav, tmp_path):
    folder = tmp_path / "sounds"
    for name in ("a/dog.wav", "b/dog.wav", "b/dog.flac"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, soundfile.read(low_wav)[0], 16_000)
    said = generate(folder, "-o", tmp_path / "out")
    below = [line.removeprefix(f"{tmp_path}/out/") for line in said.lines]
    assert below == ["a/dog.png", "b/dog.flac.png", "b/dog.wav.png"]


def test_standard_input_is_a_sound(generate, low_wav, tmp_path, monkeypatch):
    with low_wav.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=file, isatty=lambda: False))
        said = generate("-", "-o", tmp_path / "out/")
    assert said.lines == [f"{tmp_path}/out/stdin.png"]
    generate(low_wav, "-o", tmp_path / "out.png")
    assert (pixels(said.lines[0]) == pixels(tmp_path / "out.png")).all()


@pytest.mark.parametrize(("ending", "kind"), [("jpg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
def test_the_ending_chooses_the_format_and_every_format_knows_its_making(
    s2s, generate, low_wav, tmp_path, ending, kind
):
    out = tmp_path / f"out.{ending}"
    generate(low_wav, "-o", out, "--seed", 7, "--truncation", 0.5, "--size", 48)
    with Image.open(out) as file:
        assert (file.format, file.size) == (kind, (48, 48))
    made = json.loads(s2s("info", out, "--json").out)
    assert made["seed"] == 7
    assert made["options"] == {"size_px": 48, "start_s": 0.0, "truncation": 0.5}
    assert made["version"] == __version__
    assert made["sources"] == [
        {
            "role": "sound",
            "name": str(low_wav),
            "sha256": hashlib.sha256(low_wav.read_bytes()).hexdigest(),
        }
    ]


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.webp"])
def test_redo_makes_the_same_bytes(s2s, generate, low_wav, tmp_path, name):
    out = tmp_path / name
    generate(low_wav, "-o", out, "--seed", 3, "--start", 0.5, "--size", 40)
    said = s2s("redo", out)
    assert said.lines == [str(out.with_stem("out-redo"))]
    assert out.with_stem("out-redo").read_bytes() == out.read_bytes()


def test_redo_makes_a_sheet_again(s2s, generate, low_wav, high_wav, tmp_path):
    sheet = generate(low_wav, high_wav, "-n", 2, "--sheet", "-o", tmp_path / "out").lines[-1]
    assert sheet.endswith("sheet.png")
    assert min(pixels(sheet).shape[:2]) > 256
    s2s("redo", sheet, "-o", tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == Path(sheet).read_bytes()


def test_redo_refuses_another_sound_and_finds_a_moved_one(
    s2s, generate, low_wav, high_wav, tmp_path
):
    out = tmp_path / "out.png"
    generate(low_wav, "-o", out)
    moved = tmp_path / "moved.wav"
    shutil.move(low_wav, moved)
    assert "There is no file" in s2s("redo", out).err
    shutil.copy(high_wav, low_wav)
    refused = s2s("redo", out)
    assert refused.code == 1
    assert "another sound than the one that made" in refused.err
    assert s2s("redo", out, "--sound", moved).code == 0
    assert out.with_stem("out-redo").read_bytes() == out.read_bytes()


def test_redo_finds_a_sound_beside_its_picture(s2s, generate, low_wav, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generate("low.wav")
    monkeypatch.chdir("/")
    assert s2s("redo", tmp_path / "low.png").code == 0
    assert (tmp_path / "low-redo.png").read_bytes() == (tmp_path / "low.png").read_bytes()


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_redo_into_a_folder_keeps_name_and_format(s2s, generate, low_wav, tmp_path, ending):
    out = tmp_path / f"out.{ending}"
    generate(low_wav, "-o", out)
    assert s2s("redo", out, "-o", f"{tmp_path}/again/").lines == [f"{tmp_path}/again/out.{ending}"]
    assert (tmp_path / "again" / out.name).read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    "change",
    [{"command": "dream"}, {"options": {"mood": 1}}, {"options": {"start_s": -1}}, {"sources": []}],
)
def test_redo_says_what_it_cannot_repeat(s2s, generate, low_wav, tmp_path, change):
    out = tmp_path / "out.png"
    generate(low_wav, "-o", out)
    made = json.loads(read_provenance(out).to_json()) | change
    other = Provenance.from_json(json.dumps(made))
    out.write_bytes(encode(pixels(out), "PNG", other))
    said = s2s("redo", out)
    assert said.code == 1
    assert "cannot repeat" in said.err


def test_redo_refuses_another_model(s2s, generate, low_wav, tiny_model, tmp_path):
    out = tmp_path / "out.png"
    generate(low_wav, "-o", out)
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    shutil.copy(other / "audio_encoder.safetensors", other / "extra.safetensors")
    refused = s2s("redo", out, "--model", other)
    assert refused.code == 1
    assert "another than the one that made" in refused.err


def test_a_dry_run_reads_every_sound_and_writes_nothing(generate, low_wav, tmp_path):
    (tmp_path / "empty.wav").touch()
    said = generate(low_wav, tmp_path / "empty.wav", "-o", tmp_path / "out", "--dry-run", "--json")
    assert said.code == 1
    assert json.loads(said.lines[0])["status"] == "planned"
    assert "empty.wav" in said.err
    assert not (tmp_path / "out").exists()


def test_truncation_zero_forgets_the_seed(generate, low_wav, tmp_path):
    a, b = generate(low_wav, "-n", 2, "--truncation", 0, "-o", tmp_path / "out").lines
    assert (pixels(a) == pixels(b)).all()


def test_start_chooses_the_part_of_a_long_sound(generate, tmp_path):
    time = np.arange(12 * 16_000) / 16_000
    wave = 0.5 * np.sin(2 * np.pi * np.where(time < 11, 200, 3000) * time)
    soundfile.write(tmp_path / "both.wav", wave, 16_000)
    soundfile.write(tmp_path / "late.wav", wave[11 * 16_000 :], 16_000)
    a = generate(tmp_path / "both.wav", "--start", 11, "-o", tmp_path / "a.png").lines[0]
    b = generate(tmp_path / "late.wav", "-o", tmp_path / "b.png").lines[0]
    assert (pixels(a) == pixels(b)).all()


def test_one_file_cannot_hold_many_pictures(generate, low_wav, high_wav, tmp_path):
    said = generate(low_wav, high_wav, "-o", tmp_path / "one.png")
    assert said.code == 2
    assert "name a folder" in " ".join(said.err.replace("│", " ").split())
    assert not (tmp_path / "one.png").exists()


def test_quiet_says_nothing_but_the_paths(generate, low_wav, tmp_path):
    said = generate(low_wav, "-q", "-o", tmp_path / "out.png")
    assert (said.out, said.err) == (f"{tmp_path}/out.png\n", "")


def test_a_sound_that_was_repeated_is_remarked_on_stderr(generate, low_wav, tmp_path):
    said = generate(low_wav, "-o", tmp_path / "out.png")
    assert "gives 2 s, repeated where 10 s are wanted" in said.err


def test_a_misspelt_model_ends_in_one_helpful_sentence(s2s, low_wav):
    said = s2s("generate", low_wav, "--model", "pockte")
    assert said.code == 1
    assert "There is no model called 'pockte'." in said.err


def test_a_device_that_is_not_here_is_said_in_a_sentence(generate, low_wav):
    import torch

    device = "mps" if not torch.backends.mps.is_available() else "cuda"
    said = generate(low_wav, "--device", device)
    assert said.code == 1
    assert f"There is no {device} device here" in said.err


@pytest.mark.parametrize(
    "wrong",
    [("--start", "nan"), ("--start", "-1"), ("--start", "inf"), ("--truncation", "nan"),
     ("--seed", "-1"), ("--seed", 2**32), ("--count", 0), ("--size", 4), ("--device", "tpu")],
)  # fmt: skip
def test_a_value_out_of_range_is_wrong_usage(generate, low_wav, wrong):
    said = generate(low_wav, *wrong)
    assert (said.code, said.out) == (2, "")


@pytest.mark.parametrize(
    ("out", "written"),
    [
        ("a", "a/low.png"),
        ("b.dir/", "b.dir/low.png"),
        ("c/d.webp", "c/d.webp"),
        ("e.png/", "e.png/low.png"),
    ],
)
def test_out_is_a_folder_unless_it_ends_like_a_picture(
    generate, low_wav, tmp_path, monkeypatch, out, written
):
    monkeypatch.chdir(tmp_path)
    assert generate(low_wav, "-o", out).lines == [written]


def test_an_ending_that_is_no_picture_is_a_sentence(generate, low_wav, tmp_path):
    said = generate(low_wav, "-o", tmp_path / "out.bmp")
    assert said.code == 1
    assert "let the name end in .png, .jpg, .jpeg, .webp, or in / for a folder" in said.err


def test_sounds_of_the_same_name_never_share_a_picture(generate, low_wav, high_wav, tmp_path):
    for folder, sound in (("a", low_wav), ("b", high_wav)):
        (tmp_path / folder).mkdir()
        shutil.copy(sound, tmp_path / folder / "rec.wav")
    shutil.copy(low_wav, tmp_path / "sheet.wav")
    said = generate(
        tmp_path / "a", tmp_path / "b", tmp_path / "sheet.wav", "--sheet", "-o", tmp_path / "out"
    )
    assert said.code == 0
    assert [Path(line).name for line in said.lines] == [
        "rec.wav.png", "rec.wav-2.png", "sheet.wav.png", "sheet.png",
    ]  # fmt: skip
    assert len({Path(line).read_bytes() for line in said.lines}) == 4


def test_a_sound_named_twice_is_painted_once(generate, low_wav, tmp_path):
    assert len(generate(low_wav, low_wav, "-o", tmp_path / "out").lines) == 1


def test_one_picture_in_the_way_does_not_stop_the_other_seeds(generate, low_wav, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "low-seed1.png").write_text("mine")
    said = generate(low_wav, "-n", 3, "-o", tmp_path / "out")
    assert said.code == 1
    assert [Path(line).name for line in said.lines] == ["low-seed0.png", "low-seed2.png"]


def test_an_empty_name_is_not_the_whole_folder(generate, low_wav, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = generate("", "-o", "out/")
    assert (said.code, said.out) == (1, "")
    assert "An empty name is no sound" in said.err


def test_a_file_called_minus_can_be_named(generate, low_wav, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(low_wav, tmp_path / "-")
    assert generate("./-", "-o", "out/").lines == ["out/-.png"]


@pytest.mark.parametrize("option", ["-o", "-m"])
def test_a_name_that_is_too_long_is_a_sentence(s2s, tiny_model, low_wav, option):
    rest = ["-m", tiny_model] if option == "-o" else []
    said = s2s("generate", low_wav, *rest, option, "x" * 300 + ".png")
    assert said.code == 1
    assert said.err.count("error:") == 1


def test_a_sound_whose_name_is_too_long_does_not_stop_the_others(generate, low_wav, tmp_path):
    said = generate("x" * 300, low_wav, "-o", tmp_path / "out")
    assert said.code == 1
    assert [Path(line).name for line in said.lines] == ["low.png"]


def test_a_pipe_in_the_way_is_refused_and_not_waited_for(generate, low_wav, tmp_path):
    os.mkfifo(tmp_path / "out.png")
    assert generate(low_wav, "-o", tmp_path / "out.png").code == 1


def test_the_same_weights_under_another_name_keep_the_picture(s2s, tiny_model, low_wav, tmp_path):
    out = tmp_path / "out.png"
    s2s("generate", low_wav, "-m", tiny_model, "-o", out)
    shutil.copytree(tiny_model, tmp_path / "copy")
    said = s2s("generate", low_wav, "-m", tmp_path / "copy", "-o", out, "--json")
    assert json.loads(said.out)["status"] == "kept"


def test_what_commands_a_terminal_is_not_printed_raw(generate, tmp_path):
    said = generate(tmp_path / "red\x1b[31m.wav")
    assert said.code == 1
    assert "\x1b" not in said.err


def test_info_is_for_people_too(s2s, generate, low_wav, tmp_path):
    generate(low_wav, "-s", 12, "-o", tmp_path / "out.png")
    rows = dict(line.split(maxsplit=1) for line in s2s("info", tmp_path / "out.png").lines)
    assert rows["seed"] == "12"
    assert rows["sound"] == str(low_wav)


def test_show_previews_on_stderr_in_colour_and_only_there(
    s2s, tiny_model, low_wav, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        console,
        "stderr",
        lambda: Console(stderr=True, force_terminal=True, width=40, color_system="truecolor"),
    )
    said = s2s("generate", low_wav, "-m", tiny_model, "--show", "-o", tmp_path / "out.png")
    assert "▀" in said.err
    assert said.out == f"{tmp_path}/out.png\n"


def test_a_sheet_has_a_bound(generate, low_wav, tmp_path):
    assert generate(low_wav, "-n", 501, "--sheet", "-o", tmp_path / "out").code == 2
