"""``s2s eval sheet`` makes a page and its key, ``s2s eval score`` reads what was saved from it."""

import io
import json
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import chromium, needs_a_browser, sit_down
from conftest import RATE, add_to_tar, tone
from PIL import Image
from selenium.webdriver.common.keys import Keys

from s2s_cli.evaluation.ratings import ANSWERS_FORMAT, PRINTED, Item, Key, Kind, Option, read_key
from s2s_cli.evaluation.study import picture_uri

SCENES = ("fire", "rain", "sea", "snow")  # some that the shipped judge knows
SOUNDS_EACH = 3


def sound_of(scene: str, number: int) -> bytes:
    """A short tone of its own."""
    file, hertz = io.BytesIO(), 200 * (1 + SCENES.index(scene)) + 10 * number
    soundfile.write(file, tone(hertz, 0.3), RATE, format="WAV")
    return file.getvalue()


def photo_of(scene: str, number: int) -> bytes:
    """Noise of its own, of the size that tiny models work at."""
    file, chance = io.BytesIO(), np.random.default_rng([SCENES.index(scene), number])
    Image.fromarray(chance.integers(0, 256, (32, 32, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Shards of four scenes, which serve to learn from and to validate."""
    root = tmp_path_factory.mktemp("data")
    for kind, ending, content in (("sounds", "wav", sound_of), ("photos", "png", photo_of)):
        (root / kind).mkdir()
        with tarfile.open(root / kind / "val-000.tar", "w") as archive:
            for scene in SCENES:
                for number in range(SOUNDS_EACH):
                    add_to_tar(archive, f"{scene}/{number}.{ending}", content(scene, number))
        shutil.copy(root / kind / "val-000.tar", root / kind / "train-000.tar")
    return root


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """The same sounds, as files in folders."""
    root = tmp_path_factory.mktemp("own")
    for scene in SCENES:
        (root / scene).mkdir()
        for number in range(SOUNDS_EACH):
            (root / scene / f"{number}.wav").write_bytes(sound_of(scene, number))
    return root


@pytest.fixture
def sheet(s2s, tiny_model, style_model, data, tmp_path, monkeypatch):
    """``sheet("match")`` makes study.html of two questions."""
    monkeypatch.chdir(tmp_path)

    def sheet(kind, *more):
        words = ("-m", tiny_model)
        if kind == "ranking":
            words = (
                "-m",
                style_model,
                "--painter",
                tiny_model,
                "--from",
                "sea",
                "--to",
                "rain,snow",
            )
        return s2s("eval", "sheet", kind, *words, "--data", data, "--questions", 2, *more)

    return sheet


def shown(page: Path) -> dict[str, str]:
    """Every picture of a page by its id, as a data: address."""
    (told,) = re.findall(
        r'<script id="study" type="application/json">(.*?)</script>', page.read_text()
    )
    return {p["id"]: p["source"] for q in json.loads(told)["questions"] for p in q["pictures"]}


def answered(key, choose, path, rater="anna"):
    """A file as the page saves it, from somebody who chooses so."""
    told = [
        {
            "item": item.id,
            "choice": choose(item),
            "shown": [option.id for option in item.options],
            "seconds": 2.5,
        }
        for item in key.items
    ]
    content = {
        "format": ANSWERS_FORMAT, "study": key.study, "kind": key.kind, "rater": rater, "seed": 3,
        "answers": told,
    }  # fmt: skip
    path.write_text(json.dumps(content))
    return path


def right(item):
    return [option.id for option in item.options if option.right]


def wrong(item):
    return [option.id for option in item.options if not option.right][:1]


def one_line(text: str) -> str:
    """Without the frame and the line breaks that a terminal's width makes."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


# Pages


def test_a_match_shows_what_the_model_paints_of_its_sounds(s2s, sheet, tiny_model, own):
    said = sheet("match", "-s", 5)
    assert (said.code, said.lines) == (0, ["study.html"]), said.err
    assert "Keep study.key.json to yourself" in said.err
    key, pictures = read_key(Path("study.key.json")), shown(Path("study.html"))
    assert [len(item.options) for item in key.items] == [4, 4]
    seeds = []
    for option in (option for item in key.items for option in item.options):
        # The same sound as a file, painted by another command: with one of the seeds that there
        # are, three sounds for each question, from --seed on.
        s2s("generate", own / f"{option.name}.wav", "-m", tiny_model, "-s", 5, "-n", 6, "-o", "all")
        painted = {
            seed: picture_uri(np.asarray(Image.open(path).convert("RGB")))
            for seed, path in enumerate(sorted(Path("all").glob(f"{option.name[-1]}*.png")), 5)
        }
        assert len(set(painted.values())) == 6
        (seed,) = [seed for seed, uri in painted.items() if uri == pictures[option.id]]
        seeds.append((option.name, seed))
        shutil.rmtree("all")
    # A sound has one seed, wherever it stands, and no other sound has it.
    assert len(set(seeds)) == len(dict(seeds)) == len({seed for _, seed in seeds})


def test_a_preference_is_between_two_models_or_ears_and_eyes(sheet, tiny_model, deaf_model):
    for rival, other in (
        ((), f"{tiny_model} told a photo"),
        (("--against", deaf_model), str(deaf_model)),
    ):
        said = sheet("preference", *rival, "--force")
        assert said.code == 0, said.err
        key, pictures = read_key(Path("study.key.json")), shown(Path("study.html"))
        assert [len(item.options) for item in key.items] == [5, 5]
        assert set(key.methods) == {str(tiny_model), other}
        for item in key.items:
            one, two = right(item)
            assert pictures[one] != pictures[two]


def test_one_model_is_not_two(sheet, tiny_model, tmp_path):
    same = shutil.copytree(tiny_model, tmp_path / "same")
    said = sheet("preference", "--against", same)
    assert said.code == 1
    assert f"'{same}' is the very model '{tiny_model}': name another with --against." in said.err


def test_a_ranking_is_of_photos_restyled_by_sound_and_by_baselines(s2s, sheet, style_model, own):
    said = sheet("ranking", "--questions", 3)
    assert (said.code, said.lines) == (0, ["study.html"]), said.err
    key, pictures = read_key(Path("study.key.json")), shown(Path("study.html"))
    assert set(key.methods) == set(PRINTED)
    photos, heard = zip(*(item.sound.split(" as ") for item in key.items), strict=True)
    assert len(set(photos)) == len(set(heard)) == 3  # all that there are of the sea
    assert {name.split("/")[0] for name in heard[:2]} == {"rain", "snow"}  # scenes take turns
    for item in key.items:
        photo, sound = item.sound.split(" as ")
        assert photo.startswith("sea/")
        # What `s2s stylize` makes of the same two files.
        Path("photo.png").write_bytes(photo_of("sea", int(photo[-1])))
        words = ("-m", style_model, "-o", "restyled.png", "--force")
        assert s2s("stylize", "photo.png", own / f"{sound}.wav", *words).code == 0
        restyled = picture_uri(np.asarray(Image.open("restyled.png").convert("RGB")))
        (by_sound,) = [o.id for o in item.options if o.method == "by its sound"]
        assert pictures[by_sound] == restyled
        assert len({pictures[option.id] for option in item.options}) > 2


@pytest.mark.parametrize("kind", ["match", "preference"])
def test_own_sounds_make_the_page_that_shards_of_them_make(sheet, own, kind, data, tmp_path):
    assert sheet(kind).code == 0
    said = sheet(kind, "--sounds", own, "-o", "own.html")
    assert said.code == 0, said.err
    one, other = (read_key(Path(f"{name}.key.json")) for name in ("study", "own"))
    assert [item.sound + ".wav" for item in one.items] == [item.sound for item in other.items]
    assert shown(Path("study.html")) == shown(Path("own.html"))


def test_a_ranking_takes_own_sounds_too(sheet, own, tmp_path):
    own = shutil.copytree(own, tmp_path / "some")
    for scene in ("sea", "rain"):
        shutil.rmtree(own / scene)
    said = sheet("ranking", "--sounds", own, "--to", "fire,snow")
    assert said.code == 0, said.err
    heard = [item.sound.split(" as ")[1] for item in read_key(Path("study.key.json")).items]
    assert sorted(name.split("/")[0] for name in heard) == ["fire", "snow"]
    assert all(name.endswith(".wav") for name in heard)


def test_own_sounds_need_no_shards(sheet, own, tmp_path):
    said = sheet("match", "--sounds", own, "--data", tmp_path / "nowhere")
    assert said.code == 0, said.err


@pytest.mark.parametrize("kind", list(Kind))
def test_the_same_command_makes_the_same_bytes(sheet, kind):
    assert sheet(kind).code == sheet(kind, "-o", "again.html").code == 0
    for ending in ("html", "key.json"):
        made, again = Path(f"study.{ending}").read_bytes(), Path(f"again.{ending}").read_bytes()
        assert made == again
    assert sheet(kind, "-s", 1, "-o", "other.html").code == 0
    assert shown(Path("other.html")) != shown(Path("study.html"))


def test_nothing_is_replaced_unasked(sheet):
    assert sheet("match").code == 0
    before = Path("study.key.json").read_bytes()
    for there in ("study.html", "study.key.json"):
        said = sheet("match", "-s", 1)
        assert said.code == 1
        assert f"'{there}' is there already: replace it with --force" in said.err
        assert Path("study.key.json").read_bytes() == before
        Path("study.html").unlink(missing_ok=True)  # a key alone is kept, too
    assert sheet("match", "-s", 1, "--force").code == 0
    assert Path("study.key.json").read_bytes() != before


def test_json_says_where_everything_is(sheet, tiny_model):
    said = sheet("match", "--json")
    told = json.loads(said.out)
    key = read_key(Path(told["key"]))
    assert told == {
        "page": "study.html", "key": "study.key.json", "study": key.study, "kind": "match",
        "seed": 0, "questions": 2, "methods": [str(tiny_model)],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("guess",), "'guess' is not one of 'preference', 'match', 'ranking'"),
        (("match", "-o", "page.png"), "The page 'page.png' must be a file that ends in .html."),
        (("match", "--against", "pocket"), "--against is of a preference, not of a match."),
        (("preference", "--to", "rain"), "--to is of a ranking, not of a preference."),
    ],
)
def test_what_makes_no_sense_is_refused(sheet, words, sentence):
    said = sheet(*words)
    assert said.code == 2
    assert sentence in one_line(said.err)
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("match", "--questions", 13), "13 questions need as many sounds, and 12 are there"),
        (("ranking", "--questions", 7), "7 questions need as many sounds, and 6 are there"),
        (("ranking", "--to", "storm"), "The shards hold no sounds of storm"),
        (("match", "--data", "nowhere"), "There are no shards nowhere/sounds/val-*.tar"),
        (("match", "--sounds", "nowhere"), "There is no folder 'nowhere'"),
    ],
)
def test_what_cannot_be_is_a_sentence_and_leaves_nothing(sheet, words, sentence):
    said = sheet(*words)
    assert said.code == 1
    assert sentence in said.err
    assert said.out == ""
    assert not list(Path().iterdir())


# Scores


def test_several_people_are_scored_together(s2s, sheet, tmp_path):
    sheet("match")
    key = read_key(Path("study.key.json"))
    one = answered(key, right, tmp_path / "anna.json")
    other = answered(key, wrong, tmp_path / "ben.json", rater="ben")
    scored = s2s("eval", "score", one, other, "--json", "-o", "table.md")
    assert scored.code == 0, scored.err
    (precision,) = map(json.loads, scored.lines)
    assert precision["value"] == 50
    assert precision["of"] == "4 answers of 2 people; guessing gives 25 %"
    # Wilson's interval of 2 in 4, worked out by hand with z = 1.959964.
    assert precision["interval"] == pytest.approx([15.0036, 84.9964], abs=1e-3)
    assert precision["paper"]["value"] == 83.8
    assert "(people) | 50.0 % |" in Path("table.md").read_text()
    printed = s2s("eval", "score", one, other).out
    assert "50.0 %" in printed
    assert "83.8 %" in printed


def test_a_preference_gives_recall_and_precision(s2s, sheet, tiny_model, tmp_path):
    sheet("preference")
    key = read_key(Path("study.key.json"))

    def tiny(item):
        return [
            option.id
            for option in item.options
            if option.right and option.method == str(tiny_model)
        ]

    scored = s2s("eval", "score", answered(key, tiny, tmp_path / "anna.json"), "--json")
    told = {one["measure"]: one["value"] for one in map(json.loads, scored.lines)}
    assert told == {
        f"recall probability: {tiny_model}": 100,
        f"precision: {tiny_model}": 100,
        f"recall probability: {tiny_model} told a photo": 0,
    }


def test_a_ranking_of_the_four_methods_stands_beside_the_papers(s2s, tmp_path):
    options = tuple(Option(f"{n}", "photo", method, right=True) for n, method in enumerate(PRINTED))
    key = Key("0123456789", Kind.RANKING, 0, (Item("a", "rain", options),))
    (tmp_path / "study.key.json").write_text(key.as_json())
    answers = answered(key, lambda item: [one.id for one in item.options], tmp_path / "anna.json")
    said = s2s("eval", "score", answers, "--json")
    assert said.code == 0, said.err
    told = {one["measure"]: one for one in map(json.loads, said.lines)}
    assert told["mean rank: by its sound"]["value"] == 1
    assert told["mean score: by its sound"]["value"] == 4
    assert told["mean score: by its sound"]["paper"]["value"] == 3.273
    assert told["mean score: AdaIN"]["paper"]["value"] == 2.269


def test_answers_find_their_key_or_ask_for_it(s2s, sheet, tmp_path):
    sheet("match")
    key = tmp_path / "study.key.json"
    (tmp_path / "mail").mkdir()
    answers = answered(read_key(key), right, tmp_path / "mail" / "anna.json")
    assert s2s("eval", "score", answers).code == 0  # the key lies where we are
    sheet("match", "-s", 1, "-o", "other.html")
    said = s2s("eval", "score", answers)
    assert said.code == 1
    assert "2 keys lie beside" in said.err
    shutil.copy(key, tmp_path / "mail")  # beside the answers comes first
    assert s2s("eval", "score", answers).code == 0
    for path in tmp_path.rglob("*.key.json"):
        path.unlink()
    assert "No key lies beside" in s2s("eval", "score", answers).err


def test_answers_that_cannot_be_scored_are_a_sentence_each(s2s, sheet, tmp_path):
    sheet("match")
    sheet("match", "-s", 1, "-o", "other.html")
    key = tmp_path / "study.key.json"
    answers = answered(read_key(key), right, tmp_path / "anna.json")
    torn = tmp_path / "torn.json"
    torn.write_bytes(answers.read_bytes()[:-20])
    for files, own, sentence in (
        ([answers], tmp_path / "other.key.json", "answers the study"),
        ([answers, answers], key, "Two files are of the rater anna: leave one of them out."),
        ([answers, torn], key, "torn.json' is no file of answers: save it again from its page."),
        ([tmp_path / "none.json"], key, "There is no file of answers"),
        ([answers], answers, "is no key of a study"),
    ):
        said = s2s("eval", "score", *files, "--key", own)
        assert said.code == 1
        assert sentence in said.err
        assert len(said.err.splitlines()) == 1
        assert said.out == ""


# Together


@needs_a_browser
def test_who_always_chooses_rightly_gets_all_of_it(
    s2s, sheet, tiny_model, tmp_path, tmp_path_factory
):
    """From the command to the page, to people with a browser, and back to the command."""
    downloads = tmp_path_factory.mktemp("downloads")
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        for kind in Kind:
            assert sheet(kind, "-o", f"{kind}.html").code == 0
            person = sit_down(driver, tmp_path / f"{kind}.html", downloads)
            person.press(Keys.ENTER)
            for _ in range(2):
                person.wait("audio.duration > 0.2")
                person.wait("[...document.images].every(i => i.complete && i.naturalWidth == 320)")
                chosen = person.digits(lambda option: option.right)
                if kind is Kind.RANKING:
                    order = [option.method for option in person.options()]
                    chosen = [str(order.index(method) + 1) for method in PRINTED]
                person.press(*chosen, Keys.ENTER)
            shutil.copy(person.save_file(), tmp_path / f"{kind}.json")
            assert driver.get_log("browser") == []

    def scored(kind):
        said = s2s(
            "eval", "score", tmp_path / f"{kind}.json", "--key", f"{kind}.key.json", "--json"
        )
        assert said.code == 0, said.err
        return {one["measure"]: one["value"] for one in map(json.loads, said.lines)}

    assert scored("match") == {f"precision: {tiny_model}": 100}
    assert scored("preference") == {
        f"{what}: {method}": 100
        for what in ("recall probability", "precision")
        for method in (tiny_model, f"{tiny_model} told a photo")
    }
    ranks = {f"mean rank: {method}": rank for rank, method in enumerate(PRINTED, 1)}
    scores = {f"mean score: {method}": 5 - rank for rank, method in enumerate(PRINTED, 1)}
    assert scored("ranking") == ranks | scores
