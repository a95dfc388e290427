"""What the page of a study shows and what it keeps to itself; the page at work is another file."""

import base64
import io
import json
import re
from collections import Counter
from dataclasses import replace

import av
import numpy as np
import pytest
from conftest import RATE, tone
from PIL import Image

from s2s_cli.audio.sound import read_sound
from s2s_cli.errors import DataError
from s2s_cli.evaluation import study
from s2s_cli.evaluation.ratings import Kind, read_key
from s2s_cli.evaluation.study import Clip, Question, draw_questions, make_study, write_study

SCENES = ("sea", "rain", "fire", "dog", "cat", "city")


def clips(*methods: str, repeats: int = 2) -> list[Clip]:
    """Two short tones of each scene, each with a picture of its own colour by every method."""
    found = []
    for number in range(len(SCENES) * repeats):
        scene = SCENES[number % len(SCENES)]
        pictures = {
            method: np.full((20, 20, 3), (20 * number, 60 * place, 99), np.uint8)
            for place, method in enumerate(methods)
        }
        wave = tone(200 + 50 * number, 0.1)
        found.append(Clip(f"{scene}/{number}", scene, wave, RATE, pictures))
    return found


def told(page: str) -> dict:
    """What the page's script reads."""
    (content,) = re.findall(r'<script id="study" type="application/json">(.*?)</script>', page)
    return json.loads(content)


def content_of(uri: str) -> bytes:
    return base64.b64decode(uri.partition(";base64,")[2])


# Which questions are asked


@pytest.mark.parametrize("seed", range(5))
def test_a_match_has_one_right_picture_and_three_of_other_scenes(seed):
    questions = draw_questions(Kind.MATCH, clips("ours"), 8, seed)
    assert len({question.clip.name for question in questions}) == 8
    for question in questions:
        shown = [clip for clip, _ in question.options]
        assert len({clip.name for clip in shown}) == 4
        assert [clip.scene for clip in shown].count(question.clip.scene) == 1
        assert sum(clip is question.clip for clip in shown) == 1


def test_a_preference_has_either_method_and_three_of_other_scenes():
    questions = draw_questions(Kind.PREFERENCE, clips("ours", "theirs"), 12, 0)
    others = Counter()
    for question in questions:
        right = [method for clip, method in question.options if clip is question.clip]
        assert sorted(right) == ["ours", "theirs"]
        wrong = [(c, method) for c, method in question.options if c is not question.clip]
        assert len(wrong) == 3
        assert all(clip.scene != question.clip.scene for clip, _ in wrong)
        others.update(method for _, method in wrong)
    assert min(others["ours"], others["theirs"]) > 8  # of 36: about equally often


def test_a_ranking_has_all_methods_of_one_sound():
    for question in draw_questions(Kind.RANKING, clips("a", "b", "c", "d"), 3, 0):
        assert [method for _, method in question.options] == ["a", "b", "c", "d"]
        assert all(clip is question.clip for clip, _ in question.options)


def test_questions_follow_from_the_seed():
    def names(seed):
        questions = draw_questions(Kind.MATCH, clips("ours"), 6, seed)
        return [[clip.name for clip, _ in question.options] for question in questions]

    assert names(1) == names(1) != names(2)


@pytest.mark.parametrize(
    ("kind", "methods", "count", "said"),
    [
        (Kind.MATCH, ["ours"], 13, "13 questions need as many sounds, and 12 are there."),
        (Kind.MATCH, ["a", "b"], 1, "'match' takes exactly one method, not 2."),
        (Kind.PREFERENCE, ["a"], 1, "'preference' takes exactly two methods, not 1."),
        (Kind.RANKING, ["a"], 1, "'ranking' takes 2 to 9 methods, not 1."),
        (Kind.RANKING, "abcdefghij", 1, "'ranking' takes 2 to 9 methods, not 10."),
    ],
)
def test_studies_that_cannot_be_are_a_sentence(kind, methods, count, said):
    with pytest.raises(DataError) as stop:
        draw_questions(kind, clips(*methods), count, 0)
    assert str(stop.value).endswith(said)


def test_too_few_scenes_or_pictures_are_a_sentence():
    few = [clip for clip in clips("ours", repeats=1) if clip.scene in ("sea", "dog", "cat")]
    with pytest.raises(DataError, match="needs pictures of 3 sounds of other scenes than '"):
        draw_questions(Kind.MATCH, few, 1, 0)
    uneven = [few[0], replace(few[1], pictures={})]
    with pytest.raises(DataError, match="pictures by the same methods"):
        draw_questions(Kind.MATCH, uneven, 1, 0)


# What the page tells


def test_a_page_says_nothing_of_what_is_right():
    """Two studies that differ in nothing but the answers have the same page."""
    one, two = clips("ours")[:2]
    two = replace(two, wave=one.wave)
    options = ((one, "ours"), (two, "ours"))
    first = make_study(Kind.MATCH, [Question(one, options)], 0)
    second = make_study(Kind.MATCH, [Question(two, options)], 0)
    assert first.page == second.page
    assert [o.right for o in first.key.items[0].options] == [True, False]
    assert [o.right for o in second.key.items[0].options] == [False, True]


def test_a_page_says_nothing_of_names_scenes_and_methods():
    some = clips("ours", "theirs")
    renamed = [
        replace(
            clip,
            name=f"secret-{clip.name}",
            pictures={f"veiled-{m}": p for m, p in clip.pictures.items()},
        )
        for clip in some
    ]
    plain, veiled = (
        make_study(Kind.PREFERENCE, draw_questions(Kind.PREFERENCE, c, 6, 0), 0)
        for c in (some, renamed)
    )
    assert plain.page == veiled.page
    assert "veiled-ours" in veiled.key.as_json()


def test_the_right_picture_stands_at_no_fixed_place():
    made = make_study(Kind.MATCH, draw_questions(Kind.MATCH, clips("ours", repeats=5), 30, 0), 0)
    right = {option.id for item in made.key.items for option in item.options if option.right}
    places = Counter(
        place
        for question in told(made.page)["questions"]
        for place, picture in enumerate(question["pictures"])
        if picture["id"] in right
    )
    assert sum(places.values()) == 30
    assert min(places[place] for place in range(4)) >= 2
    # Nor do questions come as they were drawn.
    assert [q["id"] for q in told(made.page)["questions"]] != [item.id for item in made.key.items]


def test_a_page_needs_nothing_from_outside():
    made = make_study(Kind.MATCH, draw_questions(Kind.MATCH, clips("ours"), 3, 0), 0)
    for means in ("://", "url(", "@import", "fetch(", "XMLHttpRequest", "import(", "sendBeacon"):
        assert means not in made.page
    assert "default-src 'none'" in made.page
    assert not re.search(r"""(?:src|href)=["'](?!data:|["'])""", made.page)


def test_a_title_is_text_whatever_it_holds():
    questions = draw_questions(Kind.MATCH, clips("ours"), 2, 0)
    page = make_study(Kind.MATCH, questions, 0, title="</h1><b> {{study}} & more").page
    assert "<h1>&lt;/h1&gt;&lt;b&gt; {{study}} &amp; more</h1>" in page
    assert len(told(page)["questions"]) == 2


def test_the_same_study_is_the_same_bytes():
    def made(seed):
        return make_study(Kind.MATCH, draw_questions(Kind.MATCH, clips("ours"), 3, 0), seed)

    assert made(1) == made(1)
    assert made(1).key.study != made(2).key.study


def test_questions_without_an_answer_are_refused():
    one, two, *others = clips("ours")
    with pytest.raises(ValueError, match="one picture of its sound by each method"):
        make_study(Kind.MATCH, [Question(one, ((two, "ours"), (others[0], "ours")))], 0)
    for options in ((), ((one, "ours"),), ((one, "ours"),) * 10):
        with pytest.raises(ValueError, match="expected 2 to 9 pictures"):
            make_study(Kind.MATCH, [Question(one, options)], 0)


def test_the_key_lies_beside_the_page(tmp_path):
    made = make_study(Kind.MATCH, draw_questions(Kind.MATCH, clips("ours"), 3, 0), 7)
    key = write_study(made, tmp_path / "new" / "sheet.html")
    assert key == tmp_path / "new" / "sheet.key.json"
    assert read_key(key) == made.key
    assert made.key.seed == 7
    assert (tmp_path / "new" / "sheet.html").read_text(encoding="utf-8") == made.page


# Sounds and pictures inside


@pytest.mark.parametrize("rate", [RATE, 44_100, 12_345])
def test_a_sound_is_heard_again(rate, tmp_path):
    time = np.arange(rate) / rate
    uri = study.sound_uri((0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32), rate)
    assert uri.startswith("data:audio/mpeg;base64,")
    (tmp_path / "a.mp3").write_bytes(content_of(uri))
    heard = read_sound(tmp_path / "a.mp3", sample_rate=RATE, seconds=2).wave
    spectrum = np.abs(np.fft.rfft(heard[2000:14_000]))
    assert np.argmax(spectrum) * RATE / 12_000 == pytest.approx(440, abs=2)
    assert np.abs(heard[2000:14_000]).max() == pytest.approx(0.5, abs=0.03)  # LAME takes 0.4 dB
    assert len(heard) / RATE == pytest.approx(1, abs=0.15)


def test_ten_seconds_of_sound_are_small():
    assert len(study.sound_uri(tone(440, 10), RATE)) < 120_000


def test_a_sound_beyond_full_scale_is_not_clipped(tmp_path):
    (tmp_path / "a.mp3").write_bytes(content_of(study.sound_uri(6 * tone(440, 1), RATE)))
    heard = read_sound(tmp_path / "a.mp3", sample_rate=RATE, seconds=1).wave
    spectrum = np.abs(np.fft.rfft(heard[2000:12_000] * np.hanning(10_000)))
    peak = int(np.argmax(spectrum))
    assert spectrum[2 * peak :].max() < 0.01 * spectrum[peak]  # clipping would make overtones


def test_without_lame_a_sound_is_a_wav(monkeypatch, tmp_path):
    def unknown(name, mode):
        raise ValueError(name)

    monkeypatch.setattr(av, "Codec", unknown)
    uri = study.sound_uri(tone(440, 1), RATE)
    assert uri.startswith("data:audio/wav;base64,")
    (tmp_path / "a.wav").write_bytes(content_of(uri))
    heard = read_sound(tmp_path / "a.wav", sample_rate=RATE, seconds=1).wave
    assert np.abs(heard - tone(440, 1)).max() < 1e-6


def test_pictures_are_all_of_one_size_and_bare():
    for side in (16, 700):
        content = content_of(study.picture_uri(np.full((side, side, 3), (200, 60, 20), np.uint8)))
        image = Image.open(io.BytesIO(content))
        assert (image.format, image.size) == ("JPEG", (320, 320))
        assert not image.getexif()
        assert "comment" not in image.info
        assert np.abs(np.asarray(image).astype(int) - (200, 60, 20)).max() <= 3
    wide = content_of(study.picture_uri(np.zeros((100, 200, 3), np.uint8)))
    assert Image.open(io.BytesIO(wide)).size == (320, 160)
