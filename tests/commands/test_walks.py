"""``s2s mix``, ``volume-sweep`` and ``interpolate`` on a tiny model, and ``redo`` of them."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from conftest import RATE, tone
from PIL import Image

from s2s_cli import registry
from s2s_cli.picture.provenance import read_provenance


@pytest.fixture
def run(s2s, tiny_model):
    """A command with the tiny model."""
    return lambda command, *arguments: s2s(command, "--model", tiny_model, *arguments)


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photo.jpg"
    ramp = np.linspace(0, 255, 48 * 64).reshape(48, 64)
    Image.fromarray(np.stack([ramp, ramp[::-1], ramp.T.reshape(48, 64)], -1).astype("u1")).save(
        path
    )
    return path


def pixels(path) -> np.ndarray:
    with Image.open(path) as file:
        return np.asarray(file.convert("RGB"))


def frames_of(path) -> tuple[int, list[int], object]:
    """How many frames, how long each (ms), and how often they are repeated."""
    with Image.open(path) as file:
        durations = []
        for number in range(file.n_frames):
            file.seek(number)
            file.load()  # WebP tells a frame's time only then
            durations.append(file.info["duration"])
        return file.n_frames, durations, file.info.get("loop")


def alone(run, sound, out) -> np.ndarray:
    run("generate", sound, "-o", out)
    return pixels(out)


# The ends are the pure pictures


@pytest.mark.parametrize("space", ["wave", "latent"])
@pytest.mark.parametrize("pad", [[], ["--pad"]])
def test_the_ends_of_a_mixture_are_the_pure_pictures(run, low_wav, tmp_path, space, pad):
    other = tmp_path / "other.wav"
    soundfile.write(other, tone(3000, 0.7), RATE)  # of another length
    run("mix", low_wav, other, "--sweep", 3, "--in", space, *pad, "-o", tmp_path / "sweep/")
    first, middle, last = (pixels(tmp_path / f"sweep/low+other-00{n}.png") for n in range(3))
    assert np.array_equal(first, alone(run, low_wav, tmp_path / "a.png"))
    assert np.array_equal(last, alone(run, other, tmp_path / "b.png"))
    assert not np.array_equal(middle, first)
    assert not np.array_equal(middle, last)


def test_no_gain_is_the_plain_picture_and_a_gain_is_another(run, low_wav, tmp_path):
    run("volume-sweep", low_wav, "--from", -12, "--to", 12, "--steps", 3, "-o", tmp_path / "v/")
    quiet, plain, loud = (pixels(tmp_path / f"v/low-volume-00{n}.png") for n in range(3))
    assert np.array_equal(plain, alone(run, low_wav, tmp_path / "plain.png"))
    assert not np.array_equal(quiet, plain)
    assert not np.array_equal(loud, plain)


def test_a_gain_is_what_the_same_gain_in_the_file_is(run, tmp_path):
    """The independent truth: a file with half the amplitude."""
    for name, amplitude in (("half", 0.25), ("whole", 0.5)):
        soundfile.write(tmp_path / f"{name}.wav", tone(500, 2, amplitude), RATE, subtype="FLOAT")
    gain_db = 20 * np.log10(0.5)
    run(
        "volume-sweep", tmp_path / "whole.wav", "--from", gain_db, "--to", 0, "--steps", 2,
        "-o", tmp_path / "v/",
    )  # fmt: skip
    half = alone(run, tmp_path / "half.wav", tmp_path / "half.png").astype(int)
    assert np.abs(pixels(tmp_path / "v/whole-volume-000.png") - half).max() <= 1


@pytest.mark.parametrize("curve", ["linear", "spherical"])
def test_the_stops_of_a_passage_are_their_own_pictures(
    run, low_wav, high_wav, photo, tmp_path, curve
):
    out = tmp_path / "walk/"
    run("interpolate", low_wav, photo, high_wav, "--steps", 3, "--curve", curve, "-o", out)
    walked = [pixels(path) for path in sorted(Path(out).glob("*.png"))]
    assert len(walked) == 5
    assert np.array_equal(walked[0], alone(run, low_wav, tmp_path / "a.png"))
    assert np.array_equal(walked[4], alone(run, high_wav, tmp_path / "b.png"))
    assert len({frame.tobytes() for frame in walked}) == 5
    # A walk from the picture to itself stands still on the picture's own painting.
    run("interpolate", photo, photo, "--steps", 2, "-o", tmp_path / "still/")
    assert np.array_equal(walked[2], pixels(tmp_path / "still/photo-to-photo-001.png"))


# A frame is a frame


@pytest.mark.parametrize(
    ("command", "few", "many", "pairs"),
    [
        ("mix", ["--sweep", 3], ["--sweep", 5], [(0, 0), (1, 2), (2, 4)]),
        ("volume-sweep", ["--steps", 4], ["--steps", 10], [(0, 0), (1, 3), (2, 6), (3, 9)]),
        ("interpolate", ["--steps", 3], ["--steps", 9], [(0, 0), (1, 4), (2, 8)]),
    ],
)
def test_a_frame_does_not_depend_on_how_many_there_are(
    run, low_wav, high_wav, tmp_path, command, few, many, pairs
):
    sounds = [low_wav] if command == "volume-sweep" else [low_wav, high_wav]
    for name, count in (("few", few), ("many", many)):
        run(command, *sounds, *count, "-o", tmp_path / name)
    few_paths, many_paths = (sorted((tmp_path / n).glob("*.png")) for n in ("few", "many"))
    for a, b in pairs:
        assert few_paths[a].read_bytes() == many_paths[b].read_bytes()


def test_mixing_is_symmetric(run, low_wav, high_wav, tmp_path):
    run("mix", low_wav, high_wav, "--ratio", 0.25, "--gain-a", 3, "-o", tmp_path / "ab.png")
    run("mix", high_wav, low_wav, "--ratio", 0.75, "--gain-b", 3, "-o", tmp_path / "ba.png")
    assert np.array_equal(pixels(tmp_path / "ab.png"), pixels(tmp_path / "ba.png"))


def test_weights_are_proportions_and_a_ratio_of_two(run, low_wav, high_wav, tmp_path):
    for name, how in (
        ("ratio", ["--ratio", 0.25]), ("weights", ["--weights", "3,1"]),
        ("more", ["--weights", "6,2"]), ("equal", ["--weights", "1,1"]),
    ):  # fmt: skip
        run("mix", low_wav, high_wav, *how, "-o", tmp_path / f"{name}.png")
    ratio, weights, more, equal = (
        pixels(tmp_path / f"{name}.png") for name in ("ratio", "weights", "more", "equal")
    )
    assert np.array_equal(ratio, weights)
    assert np.array_equal(ratio, more)
    assert not np.array_equal(ratio, equal)


def test_huge_and_tiny_weights_are_proportions_too(run, low_wav, high_wav, tmp_path):
    for name, how in (("a", "1e308,1e308"), ("b", "5e-324,5e-324"), ("c", "1,1")):
        assert (
            run("mix", low_wav, high_wav, "--weights", how, "-o", tmp_path / f"{name}.png").code
            == 0
        )
    assert len({(tmp_path / f"{name}.png").read_bytes() for name in "abc"}) == 1


def test_levelled_sounds_mix_alike_however_loud_they_were(run, low_wav, tmp_path):
    for name, amplitude in (("soft", 0.01), ("loud", 0.4)):
        soundfile.write(tmp_path / f"{name}.wav", tone(900, 2, amplitude), RATE, subtype="FLOAT")
        run(
            "mix", low_wav, tmp_path / f"{name}.wav", "--level", "--keep-sound",
            "-o", tmp_path / f"m-{name}.png",
        )  # fmt: skip
    soft, loud = (soundfile.read(tmp_path / f"m-{name}.wav")[0] for name in ("soft", "loud"))
    assert soft == pytest.approx(loud, abs=1e-5)
    assert loud == pytest.approx(0.5 * tone(200, 2) + 0.5 * tone(900, 2), abs=1e-3)


def test_three_sounds_are_mixed_in_any_order(run, low_wav, high_wav, tmp_path):
    middle = tmp_path / "middle.wav"
    soundfile.write(middle, tone(900, 1), RATE)
    run("mix", low_wav, middle, high_wav, "--weights", "1,2,3", "-o", tmp_path / "a.png")
    run("mix", high_wav, low_wav, middle, "--weights", "3,1,2", "-o", tmp_path / "b.png")
    assert np.array_equal(pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png"))


def test_opposite_volumes_cross_where_the_mixture_is_even(run, low_wav, high_wav, tmp_path):
    run(
        "volume-sweep", low_wav, "--with", high_wav, "--from", -6, "--to", 6, "--steps", 3,
        "-o", tmp_path / "v/",
    )  # fmt: skip
    run("mix", low_wav, high_wav, "-o", tmp_path / "even.png")
    middle = pixels(tmp_path / "v/low+high-volume-001.png")
    assert np.array_equal(middle, pixels(tmp_path / "even.png"))


# The mixture itself


def test_the_mixture_is_kept_as_a_sound(run, low_wav, high_wav, tmp_path):
    said = run("mix", low_wav, high_wav, "--ratio", 0.25, "--keep-sound", "-o", tmp_path / "m/")
    assert said.lines == [str(tmp_path / "m/low+high.png"), str(tmp_path / "m/low+high.wav")]
    kept, rate = soundfile.read(tmp_path / "m/low+high.wav")
    assert rate == RATE
    assert kept == pytest.approx(0.75 * tone(200, 2) + 0.25 * tone(3000, 2), abs=2e-4)
    again = run("mix", low_wav, high_wav, "--ratio", 0.25, "--keep-sound", "-o", tmp_path / "m/")
    assert again.code == 0
    other = run(
        "mix",
        low_wav,
        high_wav,
        "--ratio",
        0.5,
        "--keep-sound",
        "-o",
        tmp_path / "m/n.png",
    )
    assert other.code == 0
    refused = run("mix", high_wav, low_wav, "--keep-sound", "--in", "latent")
    assert refused.code == 2


def test_a_source_is_never_replaced(run, low_wav, high_wav, photo, tmp_path):
    before = low_wav.read_bytes(), photo.read_bytes()
    said = run("mix", low_wav, high_wav, "--keep-sound", "--force", "-o", tmp_path / "low.png")
    assert said.code == 1
    assert "is what the picture is made from" in said.err
    said = run("interpolate", photo, low_wav, "--steps", 2, "--force", "-o", photo)
    assert said.code == 1
    assert "is what the picture is made from" in said.err
    assert (low_wav.read_bytes(), photo.read_bytes()) == before


def test_a_picture_is_known_by_its_bytes_where_its_name_is_silent(run, low_wav, photo, tmp_path):
    silent = tmp_path / "photo"
    photo.rename(silent)
    said = run("interpolate", silent, low_wav, "--steps", 2, "-o", tmp_path / "w/")
    assert said.code == 0, said.err
    assert read_provenance(Path(said.lines[0])).sources[0].role == "picture"


def test_a_file_called_minus_is_not_standard_input(run, low_wav, high_wav, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    low_wav.rename("-")
    assert run("mix", "./-", high_wav, "-o", "m.png").code == 0
    empty = run("volume-sweep", high_wav, "--with", "", "-o", "v.gif")
    assert empty.code == 1
    assert "An empty name is no sound" in empty.err


def test_what_would_be_too_loud_is_turned_down_and_said(run, low_wav, high_wav, tmp_path):
    said = run("mix", low_wav, high_wav, "--gain-a", 20, "--keep-sound", "-o", tmp_path / "m.png")
    assert "turned down by" in said.err
    assert "to full scale" in said.err
    kept, _ = soundfile.read(tmp_path / "m.wav")
    assert np.abs(kept).max() == pytest.approx(1, abs=1e-4)
    assert "turned down" not in run("mix", low_wav, high_wav, "-o", tmp_path / "n.png").err


# What is written


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_frames_durations_and_loops_of_a_sweep(run, low_wav, tmp_path, ending):
    out = tmp_path / f"sweep.{ending}"
    run("volume-sweep", low_wav, "--steps", 5, "--fps", 4, "-o", out)
    assert frames_of(out) == (5, [250] * 5, 0)
    run("volume-sweep", low_wav, "--steps", 5, "--fps", 4, "--bounce", "--once", "-o", out, "-f")
    count, durations, loop = frames_of(out)
    assert (count, durations) == (8, [250] * 8)
    assert loop in (None, 1)


@pytest.mark.parametrize("ending", ["mp4", "webm"])
def test_frames_of_a_sweep_as_a_film(run, low_wav, tmp_path, ending):
    out = tmp_path / f"sweep.{ending}"
    run("volume-sweep", low_wav, "--steps", 5, "--fps", 4, "-o", out)
    with av.open(str(out)) as film:
        times = [float(frame.pts * frame.time_base) for frame in film.decode(video=0)]
    assert times == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_the_default_is_a_gif_here_and_a_sheet_lies_beside_it(run, low_wav, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = run("volume-sweep", low_wav, "--steps", 3, "--sheet")
    assert said.lines == ["low-volume.gif", "low-volume-sheet.png"]
    wide, high = Image.open("low-volume-sheet.png").size
    assert wide > 2 * high


def test_a_still_ending_is_the_labelled_strip(run, low_wav, high_wav, tmp_path):
    said = run("interpolate", low_wav, high_wav, "--steps", 3, "-o", tmp_path / "strip.jpg")
    assert said.lines == [str(tmp_path / "strip.jpg")]
    assert pixels(tmp_path / "strip.jpg").shape[1] > 3 * 256


@pytest.mark.parametrize("grid", ["volume", "ratio"])
def test_a_grid_is_a_table_of_both_sounds(run, low_wav, high_wav, tmp_path, grid):
    out = tmp_path / "grid.png"
    said = run(
        "volume-sweep", low_wav, "--with", high_wav, "--grid", grid, "--steps", 3, "-o", out,
    )  # fmt: skip
    assert (said.code, said.lines) == (0, [str(out)])
    high, wide, _ = pixels(out).shape
    assert high > 3 * 256
    assert wide > 3 * 256


def test_json_tells_the_places_and_what_is_heard(run, low_wav, tmp_path):
    said = run("volume-sweep", low_wav, "--steps", 3, "--json", "-o", tmp_path / "v.gif")
    told = json.loads(said.out)
    assert told["places"] == [-24, -6, 12]
    assert told["heard_degrees"][0] == 0
    assert told["heard_degrees"][2] > 2
    assert "Heard, in degrees" in said.err
    single = run("volume-sweep", low_wav, "--steps", 2, "--json", "-o", tmp_path / "v/").lines
    assert [json.loads(line)["place"] for line in single] == [-24, 12]


def test_a_sweep_goes_on_where_it_was(run, low_wav, tmp_path):
    arguments = ("volume-sweep", low_wav, "--steps", 3, "--json", "-o", tmp_path / "v/")
    run(*arguments)
    (tmp_path / "v/low-volume-001.png").unlink()
    statuses = [json.loads(line)["status"] for line in run(*arguments).lines]
    assert statuses == ["kept", "written", "kept"]
    gif = ("volume-sweep", low_wav, "--steps", 3, "--json", "-o", tmp_path / "v.gif")
    assert json.loads(run(*gif).out)["status"] == "written"
    assert json.loads(run(*gif).out)["status"] == "kept"
    refused = run("volume-sweep", low_wav, "--steps", 4, "-o", tmp_path / "v.gif")
    assert refused.code == 1
    assert "made in another way" in refused.err


def test_pictures_that_do_not_fit_into_memory_together_are_refused_before_they_are_painted(
    run, low_wav, tmp_path
):
    huge = ("volume-sweep", low_wav, "--steps", 500, "--size", 8192)
    said = run(*huge, "-o", tmp_path / "v.gif")
    assert said.code == 1
    assert "name a folder" in said.err
    assert not (tmp_path / "v.gif").exists()


def test_a_dry_run_writes_nothing(run, low_wav, high_wav, tmp_path):
    out = tmp_path / "none"
    for command in (
        ("mix", low_wav, high_wav, "--sweep", 3, "--keep-sound"),
        ("volume-sweep", low_wav),
        ("interpolate", low_wav, high_wav),
    ):
        said = run(*command, "--dry-run", "-o", f"{out}/")
        assert said.code == 0
        assert said.lines
    assert not out.exists()


# Done again


@pytest.mark.parametrize(
    "command",
    [
        ["mix", "A", "B", "--ratio", 0.3, "--gain-b", -3, "--pad", "-o", "x.png"],
        ["mix", "A", "B", "--weights", "1,2", "--in", "latent", "-o", "x.webp"],
        ["mix", "A", "B", "--sweep", 3, "--bounce", "-o", "x.gif"],
        ["volume-sweep", "A", "--steps", 3, "--fps", 3, "-o", "x.mp4"],
        ["volume-sweep", "A", "--steps", 3, "--through", "clip", "--size", 48, "-o", "x.png"],
        ["volume-sweep", "A", "--with", "B", "--steps", 2, "--grid", "ratio", "-o", "x.png"],
        ["interpolate", "A", "P", "--steps", 3, "--curve", "spherical", "--once", "-o", "x.webp"],
    ],
    ids=lambda command: " ".join(map(str, command)),
)
def test_redo_makes_the_same_bytes(
    run, s2s, low_wav, high_wav, photo, tmp_path, monkeypatch, command
):
    monkeypatch.chdir(tmp_path)
    files = {"A": low_wav, "B": high_wav, "P": photo}
    said = run(*[files.get(word, word) for word in command])
    assert said.code == 0, said.err
    picture = Path(command[-1])
    again = s2s("redo", picture)
    assert (again.code, again.lines) == (0, [f"x-redo{picture.suffix}"]), again.err
    assert Path(again.lines[0]).read_bytes() == picture.read_bytes()


def test_redo_of_one_frame(run, s2s, low_wav, high_wav, tmp_path):
    run("interpolate", low_wav, high_wav, "--steps", 3, "-o", tmp_path / "walk/")
    frame = tmp_path / "walk/low-to-high-001.png"
    assert read_provenance(frame).options["at"] == 0.5
    again = Path(s2s("redo", frame).lines[0])
    assert again.read_bytes() == frame.read_bytes()


# What cannot be done


@pytest.mark.parametrize(
    "arguments",
    [
        ["mix", "A"],
        ["mix", "A", "B", "A"],
        ["mix", "A", "B", "--ratio", "1.1"],
        ["mix", "A", "B", "--ratio", "nan"],
        ["mix", "A", "B", "--weights", "1"],
        ["mix", "A", "B", "--weights", "1,x"],
        ["mix", "A", "B", "--weights", "0,0"],
        ["mix", "A", "B", "--weights", "1,-1"],
        ["mix", "A", "B", "--weights", "1,inf"],
        ["mix", "A", "B", "--weights", "1,2", "--sweep", "3"],
        ["mix", "A", "B", "--weights", "1,2", "--ratio", "0.3"],
        ["mix", "A", "B", "--sheet"],
        ["mix", "A", "B", "--bounce"],
        ["mix", "-", "-"],
        ["volume-sweep", "-", "--with", "-"],
        ["interpolate", "-", "-"],
        ["volume-sweep", "A", "--with", "B", "--grid", "volume", "--sheet"],
        ["mix", "A", "B", "--sweep", "1"],
        ["volume-sweep", "A", "--steps", "1"],
        ["volume-sweep", "A", "--from", "3", "--to", "3"],
        ["volume-sweep", "A", "--from", "nan"],
        ["volume-sweep", "A", "--grid", "volume"],
        ["volume-sweep", "A", "--with", "B", "--grid", "volume", "--steps", "17"],
        ["volume-sweep", "A", "--with", "B", "--through", "clip"],
        ["interpolate", "A"],
        ["interpolate", "A", "B", "--steps", "501"],
        ["interpolate", "A", "B", "A", "--steps", "300"],
    ],
    ids=" ".join,
)
def test_wrong_usage(run, low_wav, high_wav, arguments):
    files = {"A": low_wav, "B": high_wav}
    assert run(*[files.get(word, word) for word in arguments]).code == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["mix", "A", "missing.wav"], "There is no file 'missing.wav'"),
        (["mix", "A", "B", "-o", "x.txt"], "does not say which kind of picture"),
        (["mix", "A", "B", "-o", "x.gif"], "does not say which kind of picture"),
        (["volume-sweep", "P"], "has no sound track"),
        (["volume-sweep", "A", "--fps", "60"], "at most 50 frames a second"),
        (["interpolate", "A", "missing.png"], "missing.png"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_a_user_can_mend_is_one_sentence(
    run, low_wav, high_wav, photo, tmp_path, monkeypatch, arguments, sentence
):
    monkeypatch.chdir(tmp_path)
    files = {"A": low_wav, "B": high_wav, "P": photo}
    before = sorted(tmp_path.iterdir())
    said = run(*[files.get(word, word) for word in arguments])
    assert said.code == 1
    assert sentence in said.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_model_that_hears_no_volume_says_so_instead_of_equal_pictures(s2s, deaf_model, tmp_path):
    """A front end that standardises each clip cancels a gain, far from its floor and from +-1."""
    chance = np.random.default_rng(0)
    noise = tmp_path / "noise.wav"
    soundfile.write(noise, (0.05 * chance.standard_normal(RATE)).clip(-0.2, 0.2), RATE)
    arguments = ("volume-sweep", noise, "--from", -2, "--to", 2, "--steps", 3, "-m", deaf_model)
    said = s2s(*arguments, "-o", tmp_path / "v.gif")
    assert said.code == 1
    assert "makes every clip equally loud" in said.err
    assert "choose --through floor, clip or feature" in said.err
    assert not (tmp_path / "v.gif").exists()
    for way in ("floor", "clip", "feature"):
        told = s2s(
            "volume-sweep", noise, "-m", deaf_model, "--steps", 3, "--through", way, "--json",
            "-o", tmp_path / f"{way}.gif",
        )  # fmt: skip
        assert told.code == 0, told.err
        assert json.loads(told.out)["heard_degrees"][-1] > 1


def test_a_model_without_eyes_cannot_look(s2s, tiny_model, low_wav, photo, tmp_path):
    import shutil

    blind = tmp_path / "blind"
    shutil.copytree(tiny_model, blind)
    (blind / registry.IMAGE_ENCODER).unlink()
    said = s2s("interpolate", low_wav, photo, "-m", blind, "-o", tmp_path / "x.gif")
    assert said.code == 1
    assert "has no image encoder" in said.err
