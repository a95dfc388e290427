import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from s2s_cli.errors import OutputError, PictureError
from s2s_cli.picture.image import encode
from s2s_cli.picture.provenance import PNG_KEYWORD, Provenance, Source, read_provenance, same

FORMATS = ["PNG", "JPEG", "WEBP"]
PICTURE = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
RAIN = Provenance(
    command="generate",
    sources=(Source("sound", "songs/rain.wav", hashlib.sha256(b"rain").hexdigest()),),
    model="pocket",
    model_sha256=hashlib.sha256(b"pocket").hexdigest(),
    seed=7,
    device="cpu",
    precision="float32",
    options={"start_s": 1.5, "size_px": 256, "truncation": None, "gains": [0.5, 1.0]},
    version="0.1.0",
)

words = st.text(max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words
provenances = st.builds(
    Provenance,
    command=words,
    # Linux allows file names that are not Unicode; Python spells their bytes as lone surrogates.
    sources=st.lists(
        st.builds(Source, words, st.text(st.characters(codec=None), max_size=20), words), max_size=3
    ).map(tuple),
    model=words,
    model_sha256=words,
    seed=st.integers(),
    device=words,
    precision=words,
    options=st.dictionaries(words, scalars | st.lists(scalars, max_size=3), max_size=3),
    version=words,
)


def written(folder: Path, data: bytes) -> Path:
    path = folder / "picture"
    path.write_bytes(data)
    return path


@given(provenance=provenances)
def test_json_keeps_everything(provenance):
    assert Provenance.from_json(provenance.to_json()) == provenance


@pytest.mark.parametrize("format", FORMATS)
@given(provenance=provenances)
def test_a_picture_says_how_it_was_made(tmp_path_factory, format, provenance):
    path = written(tmp_path_factory.mktemp("out"), encode(PICTURE, format, provenance))
    assert read_provenance(path) == provenance


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", ["Жук и дождь.wav", "雨/雨.wav", "é 🌧 .wav", "bad-\udcff.wav"])
def test_any_file_name_survives(tmp_path, format, name):
    sound = replace(RAIN.sources[0], name=name)
    rain = replace(RAIN, sources=(sound,))
    assert read_provenance(written(tmp_path, encode(PICTURE, format, rain))).sources == (sound,)


@pytest.mark.parametrize("format", FORMATS)
def test_same_picture_and_provenance_are_the_same_bytes(format):
    shuffled = replace(RAIN, options=dict(reversed(RAIN.options.items())))
    assert encode(PICTURE, format, RAIN) == encode(PICTURE, format, shuffled)


def test_other_programs_can_read_who_painted_what(tmp_path):
    rain = replace(RAIN, sources=(Source("sound", "/home/ann/Regen in Köln.wav", "0"),))
    expected = "s2s generate Regen in Köln.wav (model pocket, seed 7)"
    with Image.open(written(tmp_path, encode(PICTURE, "PNG", rain))) as image:
        assert image.info["Software"] == "s2s 0.1.0"
        assert image.info["Description"] == expected
    for format in "JPEG", "WEBP":
        assert expected.encode() in encode(PICTURE, format, rain)


def test_an_output_is_kept_wherever_its_sounds_lie():
    def at(name: str) -> Provenance:
        return replace(RAIN, sources=(replace(RAIN.sources[0], name=name),))

    assert same(at("songs/rain.wav"), at("/tmp/rain.wav"))
    assert not same(at("rain.wav"), at("sea.wav"))
    assert same(RAIN, replace(RAIN, options={**RAIN.options, "gains": (0.5, 1.0)}))


@pytest.mark.parametrize(
    "change",
    [
        {"command": "mix"},
        {"model_sha256": "0"},
        {"seed": 8},
        {"device": "cuda"},
        {"precision": "bfloat16"},
        {"options": {}},
        {"version": "0.2.0"},
        {"sources": (replace(RAIN.sources[0], sha256="0"),)},
        {"sources": RAIN.sources * 2},
    ],
    ids=str,
)
def test_another_setting_is_another_picture(change):
    assert not same(RAIN, replace(RAIN, **change))


def test_a_missing_picture_is_missed(tmp_path):
    with pytest.raises(PictureError, match=r"There is no picture '.*gone\.png'"):
        read_provenance(tmp_path / "gone.png")


def test_a_directory_is_no_picture(tmp_path):
    with pytest.raises(PictureError, match="is a directory"):
        read_provenance(tmp_path)


@pytest.mark.parametrize("data", [b"", b"RIFF....WAVE", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_a_text_file_is_no_picture(tmp_path, data):
    with pytest.raises(PictureError, match="cannot be read as a picture"):
        read_provenance(written(tmp_path, data))


@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_by_others_is_told_apart(tmp_path, format):
    path = tmp_path / "photo"
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0a day at the sea"
    Image.fromarray(PICTURE).save(path, format, exif=exif)
    with pytest.raises(PictureError, match="was not made by s2s, or its metadata was stripped"):
        read_provenance(path)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        "[" * 100_000,
        RAIN.to_json().replace("seed", "seeed"),
        RAIN.to_json().replace("7,", '"7",'),
        RAIN.to_json().replace('"role"', '"roll"'),
        RAIN.to_json().replace('"songs/rain.wav"', "null"),
    ],
)
def test_strange_metadata_ends_in_a_sentence(tmp_path, text):
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt(PNG_KEYWORD, text)
    Image.fromarray(PICTURE).save(tmp_path / "odd.png", pnginfo=chunks)
    with pytest.raises(PictureError, match="cannot be understood"):
        read_provenance(tmp_path / "odd.png")


@pytest.mark.parametrize("format", FORMATS)
@given(data=st.data())
def test_a_damaged_picture_is_read_or_refused_but_never_trips(tmp_path_factory, format, data):
    whole = bytearray(encode(PICTURE, format, RAIN))
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=8)):
        whole[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    path = written(tmp_path_factory.mktemp("out"), bytes(whole[:cut]))
    try:
        read_provenance(path)
    except PictureError as error:
        assert str(path) in str(error)  # noqa: PT017 - any number of outcomes but this is the rule


def test_a_jpeg_that_cannot_name_all_its_sounds_points_to_png():
    many = replace(RAIN, sources=RAIN.sources * 1000)
    with pytest.raises(OutputError, match=r"1000 files .* ends in \.png"):
        encode(PICTURE, "JPEG", many)
    assert encode(PICTURE, "WEBP", many)
