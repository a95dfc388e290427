"""A study's page at work in a real browser: listened to, answered, saved and scored."""

from pathlib import Path

import numpy as np
import pytest
from browser import Visit, chromium, needs_a_browser, sit_down
from conftest import RATE, tone
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from s2s_cli.evaluation.ratings import Kind, score
from s2s_cli.evaluation.study import Clip, draw_questions, make_study, write_study

pytestmark = needs_a_browser

METHODS = {
    Kind.MATCH: ("ours",),
    Kind.PREFERENCE: ("ours", "theirs"),
    Kind.RANKING: ("a", "b", "c", "d"),
}


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> dict[Kind, Path]:
    """A page of each kind, three questions each, with its key beside it."""
    folder, pages = tmp_path_factory.mktemp("studies"), {}
    for kind, methods in METHODS.items():
        clips = []
        for number in range(6):
            colours = [(40 * number, 60 * place, 90) for place in range(len(methods))]
            pictures = [np.full((16, 16, 3), colour, np.uint8) for colour in colours]
            clips.append(
                Clip(
                    name=f"sound {number}",
                    scene=f"scene {number}",
                    wave=tone(300 + 100 * number, 10),  # longer than anybody needs here
                    sample_rate=RATE,
                    pictures=dict(zip(methods, pictures, strict=True)),
                )
            )
        pages[kind] = folder / f"{kind}.html"
        write_study(make_study(kind, draw_questions(kind, clips, 3, 0), 0), pages[kind])
    return pages


@pytest.fixture
def visit(driver, studies, tmp_path):
    """``visit(kind)`` opens a page; what was wrong in it fails the test."""

    def opened(kind: Kind, seed: str = "#seed=1", width: int = 1280, height: int = 800) -> Visit:
        return sit_down(driver, studies[kind], tmp_path, seed, width=width, height=height)

    yield opened
    driver.execute_script("unsaved = false")
    assert driver.get_log("browser") == []


def test_sounds_are_matched_by_keyboard_and_by_mouse(visit):
    person = visit(Kind.MATCH)
    person.click("start")
    assert person.count == "1 of 3"
    assert not person.driver.find_element(By.ID, "next").is_enabled()
    person.press(Keys.ENTER)  # without an answer it goes nowhere, and says why
    assert (person.count, person.said) == ("1 of 3", "Choose a picture first.")

    # By number, right; the key knows which.
    person.press(*person.digits(lambda option: option.right))
    first = person.chosen
    assert len(first) == 1
    person.press(Keys.ENTER)
    assert person.count == "2 of 3"

    # By mouse, wrong; and then another wrong one in its place.
    wrong = [int(digit) - 1 for digit in person.digits(lambda option: not option.right)]
    for place in wrong[:2]:
        person.pictures[place].click()
        assert person.chosen == [person.shown[place]]
    person.click("next")

    # By arrows, from the first picture; then back to the first question, which is as it was left.
    person.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert person.chosen == [person.shown[1]]
    person.press(Keys.BACKSPACE)
    person.click("back")
    assert (person.count, person.chosen) == ("1 of 3", first)
    person.press(Keys.ENTER, Keys.ENTER)
    assert (person.count, person.chosen) == ("3 of 3", [person.shown[1]])
    person.press(*person.digits(lambda option: option.right))
    person.press(Keys.ENTER)
    assert person.driver.find_element(By.ID, "end").is_displayed()

    answers = person.save()
    assert (answers.seed, len(answers.answers)) == (1, 3)
    assert answers.answers[0].choice == tuple(first)
    assert all(answer.seconds > 0 for answer in answers.answers)
    (precision,) = score(person.key, [answers])
    assert precision.value == pytest.approx(100 * 2 / 3)
    assert person.said == "Your answers are saved."


def test_an_answer_is_changed_after_the_end_and_saved_again(visit):
    person = visit(Kind.MATCH)
    person.press(Keys.ENTER)
    for _ in range(3):
        person.press(*person.digits(lambda option: option.right), Keys.ENTER)
    assert score(person.key, [person.save()])[0].value == 100
    person.click("review")
    assert person.count == "3 of 3"
    person.press(*person.digits(lambda option: not option.right)[:1])
    assert person.ask("unsaved")
    person.click("next")
    assert score(person.key, [person.save()])[0].value == pytest.approx(100 * 2 / 3)
    assert not person.ask("unsaved")


def test_all_pictures_that_illustrate_a_sound_are_chosen(visit):
    person = visit(Kind.PREFERENCE)
    person.press(Keys.ENTER)
    assert len(person.shown) == 5
    ours = person.digits(lambda option: option.right and option.method == "ours")
    theirs = person.digits(lambda option: option.right and option.method == "theirs")
    person.press(*ours, *theirs, *theirs, Keys.ENTER)  # theirs is taken and given back
    assert person.count == "2 of 3"
    ours = person.digits(lambda option: option.right and option.method == "ours")
    person.pictures[int(ours[0]) - 1].click()
    person.press("0", Keys.ENTER)  # none after all
    assert person.count == "3 of 3"
    # An arrow only goes there; Enter takes what was gone to, and then goes on.
    (right,) = person.digits(lambda option: option.right and option.method == "theirs")
    person.press(*[Keys.ARROW_RIGHT] * int(right))
    assert person.chosen == []
    person.press(Keys.ENTER)
    assert person.chosen == [person.shown[int(right) - 1]]
    person.press(Keys.ENTER)

    answers = person.save()
    assert [len(answer.choice) for answer in answers.answers] == [1, 0, 1]
    found = {result.name: result.value for result in score(person.key, [answers])}
    assert found == {
        "recall probability: ours": pytest.approx(100 / 3),
        "precision: ours": 100,
        "recall probability: theirs": pytest.approx(100 / 3),
        "precision: theirs": 100,
    }


def test_pictures_are_put_in_order(visit):
    person = visit(Kind.RANKING)
    person.press(Keys.ENTER)

    def digit(method):
        return person.digits(lambda option: option.method == method)[0]

    person.press(*(digit(method) for method in "badb"))  # b first by mistake, and d too early
    person.press(Keys.ENTER)
    assert (person.count, person.said) == ("1 of 3", "Put all pictures in order first.")
    person.press(*(digit(method) for method in "dbcd"))
    labels = [picture.get_attribute("aria-label") for picture in person.pictures]
    places = {"a": "1st", "b": "2nd", "c": "3rd", "d": "4th"}
    assert labels == [
        f"Picture {n}, {places[option.method]}" for n, option in enumerate(person.options(), 1)
    ]
    person.press(Keys.ENTER)
    person.press(digit("d"), "0")
    assert person.chosen == []
    person.press(*(digit(method) for method in "dcba"), Keys.ENTER)
    for method in "abcd":
        person.pictures[int(digit(method)) - 1].click()
    person.click("next")

    found = {result.name: result.value for result in score(person.key, [person.save()])}
    assert found["mean rank: a"] == pytest.approx((1 + 4 + 1) / 3)
    assert found["mean score: a"] == pytest.approx((4 + 1 + 4) / 3)
    assert found["mean rank: d"] == pytest.approx((4 + 1 + 4) / 3)
    assert found["mean rank: b"] == pytest.approx((2 + 3 + 2) / 3)


def test_the_sound_is_heard_at_once_and_the_space_bar_stops_it(visit):
    person = visit(Kind.MATCH)
    person.press(Keys.ENTER)
    person.wait("audio.currentTime > 0.05")
    assert person.ask("audio.duration") == pytest.approx(10, abs=0.15)
    person.press("1", Keys.SPACE)  # though a picture has the focus, it is not chosen by space
    assert person.ask("audio.paused")
    assert person.chosen == [person.shown[0]]
    here = person.ask("audio.currentTime")
    person.press(Keys.SPACE)
    person.wait(f"audio.currentTime > {here}")
    person.wait("document.querySelector('#play[aria-label=\"Pause the sound\"]')")
    person.click("play")
    assert person.ask("audio.paused")
    # Another question, another sound; the old one is heard no more.
    source = person.ask("audio.src")
    person.click("next")
    person.wait("!audio.paused && audio.currentTime > 0.02")
    assert person.ask("audio.src") != source


def test_a_seed_is_an_order_and_everybody_gets_another(visit):
    def order(seed):
        person = visit(Kind.RANKING, seed)
        person.press(Keys.ENTER)
        return person.ask("questions.map(q => [q.id, q.pictures.map(p => p.id)])")

    def same(one, other):
        return [q for q, _ in one] == [q for q, _ in other] and one == other

    assert same(order("#seed=5"), order("#seed=5"))
    assert len({str(order(f"#seed={seed}")) for seed in range(6)}) > 4
    assert not same(order(""), order(""))  # of 3! (4!)^3 = 82,944


def test_whoever_cannot_see_is_told(visit):
    """What a screen reader makes of the page, from the browser's own accessibility tree."""

    def tree_of(person):
        """Role, name and whether it is checked, of all that has a name."""
        return [
            (node["role"]["value"], node["name"]["value"], checked_of(node))
            for node in person.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
            if not node.get("ignored") and node.get("name", {}).get("value")
        ]

    def checked_of(node):
        found = [p["value"]["value"] for p in node["properties"] if p["name"] == "checked"]
        return found[0] if found else None

    for kind, role, box in (
        (Kind.MATCH, "radio", "radiogroup"),
        (Kind.PREFERENCE, "checkbox", "group"),
        (Kind.RANKING, "button", "group"),
    ):
        person = visit(kind)
        person.press(Keys.ENTER)
        person.wait("document.querySelector('#play[aria-label=\"Pause the sound\"]')")
        person.press("2")
        told = tree_of(person)
        heading = person.ask("document.getElementById('ask').textContent")
        for wanted in (
            ("heading", heading, None),
            (box, heading, None),
            ("button", "Pause the sound", None),
            ("progressbar", "Questions answered", None),
        ):
            assert wanted in told
        ranked = kind is Kind.RANKING
        assert [one for one in told if one[0] == role and one[1].startswith("Picture")] == [
            (role, f"Picture {n}, {'1st' if n == 2 else 'not in order yet'}", None)
            if ranked
            else (role, f"Picture {n}", "true" if n == 2 else "false")
            for n in range(1, len(person.shown) + 1)
        ]
        assert person.said == ("Picture 2 is 1st." if ranked else "Picture 2 chosen.")
        # One stop for all pictures, and where the focus is can be seen.
        assert person.ask("document.querySelectorAll('#pictures [tabindex=\"0\"]').length") == 1
        assert person.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", list(Kind))
def test_words_are_readable_by_day_and_by_night(visit, kind, scheme):
    """Contrast of at least 4.5 to 1, as WCAG 2 asks of text."""
    person = visit(kind)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    person.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    person.press(Keys.ENTER)

    def luminance(colour: str) -> float:
        channels = np.array([int(c) for c in colour[colour.index("(") + 1 : -1].split(",")[:3]])
        linear = np.where(
            channels <= 10, channels / 255 / 12.92, ((channels / 255 + 0.055) / 1.055) ** 2.4
        )
        return float(linear @ [0.2126, 0.7152, 0.0722])

    def colour(query: str, name: str) -> float:
        return luminance(person.ask(f"getComputedStyle(document.querySelector('{query}')).{name}"))

    paper = colour("html", "backgroundColor")
    assert (paper > 0.5) == (scheme == "light")
    pairs = [
        *((colour(words, "color"), paper) for words in ("h1", "#ask", "#count", "#time", "#hint")),
        *((colour(b, "color"), colour(b, "backgroundColor")) for b in ("#back", "#next", "#play")),
    ]
    for one, other in pairs:
        assert (max(one, other) + 0.05) / (min(one, other) + 0.05) >= 4.5


@pytest.mark.parametrize("kind", list(Kind))
def test_a_phone_shows_it_without_moving_sideways(visit, kind):
    person = visit(kind, width=360, height=740)
    assert person.ask("document.documentElement.scrollWidth") == 360
    person.click("start")
    assert person.ask("document.documentElement.scrollWidth") == 360
    sizes = person.ask(
        "[...document.querySelectorAll('#question button:not([hidden])')]"
        ".map(b => [b.getBoundingClientRect().width, b.getBoundingClientRect().height])"
    )
    assert min(min(size) for size in sizes) >= 44  # what a finger hits
    (picture,) = {round(size[0]) for size in sizes[1 : 1 + len(person.shown)]}
    assert picture > 150


@pytest.mark.parametrize("kind", list(Kind))
def test_a_desk_shows_all_at_a_glance(visit, kind):
    person = visit(kind)
    person.click("start")
    bottom = "document.querySelector('nav').getBoundingClientRect().top"
    lowest = "document.querySelector('#hint').getBoundingClientRect().bottom"
    assert person.ask(f"{lowest} <= {bottom}")


def test_the_page_fetches_nothing(visit):
    person = visit(Kind.MATCH)
    person.press(Keys.ENTER)
    person.wait("audio.currentTime > 0")
    assert [
        name
        for name in person.ask("performance.getEntriesByType('resource').map(e => e.name)")
        if not name.startswith("data:")
    ] == []
    # Were a script put into it, it could not call anybody either.
    refused = person.driver.execute_async_script(
        "const done = arguments[0];"
        "fetch('http://127.0.0.1:9/').then(() => done('sent'), fault => done(fault.name))"
    )
    assert refused == "TypeError"
    said = [entry["message"] for entry in person.driver.get_log("browser")]
    assert said
    assert all("Content Security Policy" in message for message in said)
