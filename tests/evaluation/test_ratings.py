"""Studies of people whose minds are known: the numbers find them again."""

import json
import math
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
import torch

from s2s_cli.errors import DataError
from s2s_cli.evaluation.ratings import (
    ANSWERS_FORMAT,
    Answer,
    Answers,
    Item,
    Key,
    Kind,
    Option,
    read_answers,
    read_key,
    score,
    wilson_interval,
)


def match_key(questions: int = 6) -> Key:
    """Four pictures to each sound, of which the first is right."""
    return Key("s1", Kind.MATCH, 7, tuple(item(n, ["ours"] * 4, 1) for n in range(questions)))


def preference_key(questions: int = 6) -> Key:
    """Two of the sound, one by either method, and three of other sounds."""
    methods = ["ours", "theirs", "ours", "theirs", "ours"]
    return Key("s1", Kind.PREFERENCE, 7, tuple(item(n, methods, 2) for n in range(questions)))


def ranking_key(questions: int = 6) -> Key:
    """Three methods."""
    methods = ["a", "b", "c"]
    return Key("s1", Kind.RANKING, 7, tuple(item(n, methods, 3) for n in range(questions)))


def item(number: int, methods: list[str], right: int) -> Item:
    options = (
        Option(f"q{number}p{place}", f"picture {place}", method, place < right)
        for place, method in enumerate(methods)
    )
    return Item(f"q{number}", f"sound {number}", tuple(options))


def said(rater: str, *choices: tuple[Item, list[int]]) -> Answers:
    """Answers that choose options by their place in the key."""
    return Answers("s1", rater, 0, tuple(answer(item, places) for item, places in choices))


def answer(item: Item, places: list[int]) -> Answer:
    ids = tuple(option.id for option in item.options)
    return Answer(item.id, tuple(ids[place] for place in places), ids[::-1], 2.5)


def numbers(results) -> dict[str, float]:
    return {result.name: result.value for result in results}


# Numbers by hand


def test_precision_counts_right_choices():
    key = match_key(3)
    first, second, third = key.items
    people = [said("x", (first, [0]), (second, [0]), (third, [2])), said("y", (first, [0]))]
    (precision,) = score(key, people)
    assert (precision.name, precision.value, precision.unit) == ("precision: ours", 75, "%")
    assert precision.of == "4 answers of 2 people; guessing gives 25 %"
    assert precision.interval == pytest.approx([100 * end for end in wilson_interval(3, 4)])
    assert precision.network == "people"


def test_recall_probability_compares_methods():
    key = preference_key(2)
    one, two = key.items  # places 0 and 1 are of the sound, by ours and by theirs
    people = [said("x", (one, [0, 1, 2]), (two, [0])), said("y", (one, [0, 3]), (two, []))]
    assert numbers(score(key, people)) == {
        "recall probability: ours": pytest.approx(75),  # 3 of the 4 times that it was shown
        "precision: ours": pytest.approx(75),  # places 0, 2, 0, 0: three of four
        "recall probability: theirs": pytest.approx(25),
        "precision: theirs": pytest.approx(50),  # places 1, 3
    }


def test_a_method_that_nobody_chose_has_no_precision():
    key = preference_key(1)
    assert numbers(score(key, [said("x", (key.items[0], [0]))])) == {
        "recall probability: ours": 100,
        "precision: ours": 100,
        "recall probability: theirs": 0,
    }


def test_the_best_of_three_gets_three_points():
    key = ranking_key(2)
    one, two = key.items
    people = [said("x", (one, [0, 1, 2]), (two, [0, 2, 1])), said("y", (one, [1, 0, 2]))]
    found = numbers(score(key, people))
    assert found == {
        "mean rank: a": pytest.approx((1 + 1 + 2) / 3),
        "mean score: a": pytest.approx((3 + 3 + 2) / 3),
        "mean rank: b": pytest.approx((2 + 3 + 1) / 3),
        "mean score: b": pytest.approx((2 + 1 + 3) / 3),
        "mean rank: c": pytest.approx((3 + 2 + 3) / 3),
        "mean score: c": pytest.approx((1 + 2 + 1) / 3),
    }
    ranks, scores = score(key, people)[:2]
    assert scores.interval == pytest.approx((4 - ranks.interval.high, 4 - ranks.interval.low))


# Intervals


@pytest.mark.parametrize(
    ("hits", "trials", "wanted"),
    [
        # Brown, Cai and DasGupta (2001) print this form; worked out with z = 1.959964
        (0, 10, (0.0, 0.277533)),
        (10, 10, (0.722467, 1.0)),
        (5, 10, (0.236593, 0.763407)),
        (1, 1, (0.206549, 1.0)),
    ],
)
def test_wilson_by_hand(hits, trials, wanted):
    assert wilson_interval(hits, trials) == pytest.approx(wanted, abs=1e-6)


def test_wilson_ends_are_where_a_test_would_reject():
    """At either end the normal test of that probability gives exactly z."""
    for end in wilson_interval(37, 50, level=0.9):
        z = (37 / 50 - end) / math.sqrt(end * (1 - end) / 50)
        assert abs(z) == pytest.approx(1.644854, abs=1e-5)
    for hits, trials in ((3, 2), (-1, 4), (0, 0)):
        with pytest.raises(ValueError, match="expected trials"):
            wilson_interval(hits, trials)


def test_the_precision_of_a_simulated_rater_is_found_again():
    """95 of 100 intervals hold the truth: of 200, 190 give or take four times three."""
    key, truth, held = match_key(60), 0.838, 0
    for seed in range(200):
        chance = torch.Generator().manual_seed(seed)
        right = torch.rand(60, generator=chance) < truth
        wrong = torch.randint(1, 4, (60,), generator=chance)
        choices = torch.where(right, 0, wrong).tolist()
        rater = said("x", *((item, [c]) for item, c in zip(key.items, choices, strict=True)))
        (precision,) = score(key, [rater])
        held += precision.interval.low <= 100 * truth <= precision.interval.high
    assert held >= 178


def test_the_mean_ranks_of_simulated_raters_are_found_again():
    """Each draws the best by weight, then the next (Plackett 1975): all orders give the means."""
    key, weights = ranking_key(8), torch.tensor([4.0, 2.0, 1.0])
    truth = dict.fromkeys("abc", 0.0)
    for order in permutations(range(3)):
        share, left = 1.0, weights.sum()
        for place in order:
            share, left = share * float(weights[place] / left), left - weights[place]
        for rank, place in enumerate(order, 1):
            truth["abc"[place]] += share * rank
    assert sum(truth.values()) == pytest.approx(6)
    held = 0
    for trial in range(6):
        chance = torch.Generator().manual_seed(trial)
        people = [
            said(
                f"rater {n}",
                *(
                    (item, torch.multinomial(weights, 3, generator=chance).tolist())
                    for item in key.items
                ),
            )
            for n in range(25)
        ]
        for result in score(key, people):
            kind, method = result.name.split(": ")
            wanted = truth[method] if kind == "mean rank" else 4 - truth[method]
            held += result.interval.low <= wanted <= result.interval.high
    assert held >= 0.85 * 6 * 6


def test_people_are_drawn_whole_and_a_single_person_by_questions():
    """Two who disagree always make a wide interval, however often each says it."""
    key = ranking_key(40)
    people = [
        said("x", *((item, [0, 1, 2]) for item in key.items)),
        said("y", *((item, [2, 1, 0]) for item in key.items)),
    ]
    rank = score(key, people)[0]
    assert rank.interval == (1, 3)
    orders = [[0, 1, 2], [2, 1, 0]] * 20
    alone = score(key, [said("x", *zip(key.items, orders, strict=True))])[0]
    assert alone.value == rank.value == 2
    assert 1.5 < alone.interval.low < alone.interval.high < 2.5
    assert alone.of == "40 answers of 1 person; the interval is over questions"


def test_intervals_follow_from_the_seed():
    key = ranking_key(3)
    chance = torch.Generator().manual_seed(0)
    people = [
        said(str(n), *((item, torch.randperm(3, generator=chance).tolist()) for item in key.items))
        for n in range(40)
    ]
    assert score(key, people, seed=1) == score(key, people, seed=1) != score(key, people, seed=2)


# Files


def saved(path: Path, told: list[object]) -> Path:
    """Answers as the page saves them."""
    table = {"format": ANSWERS_FORMAT, "study": "s1", "rater": "ab12", "seed": 0, "answers": told}
    path.write_text(json.dumps(table))
    return path


@pytest.mark.parametrize("make", [match_key, preference_key, ranking_key])
def test_a_key_comes_back_from_its_file(make, tmp_path):
    path = tmp_path / "key.json"
    path.write_text(make().as_json())
    assert read_key(path) == make()


def test_answers_come_back_from_their_file(tmp_path):
    key = preference_key()
    mine = said("ab12", (key.items[3], [4, 0]), (key.items[1], []))
    path = saved(tmp_path / "a.json", [vars(answer) for answer in mine.answers])
    assert read_answers(path, key) == mine


ITEM = match_key().items[0]
GOOD = vars(answer(ITEM, [0]))


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("match", {"item": "q9"}, "there is no question q9"),
        ("match", {"item": ["q0"]}, "it lacks a part"),
        ("match", {"choice": []}, "0 pictures were chosen, not 1"),
        ("match", {"choice": ["q0p0", "q0p1"]}, "2 pictures were chosen, not 1"),
        ("match", {"choice": ["q1p0"]}, "a choice was not shown, or is there twice"),
        ("match", {"choice": "q0p0"}, "choices are no lists of pictures"),
        ("match", {"choice": [0]}, "choices are no lists of pictures"),
        ("match", {"shown": ["q0p0"]}, "question q0 has other pictures"),
        ("match", {"seconds": "long"}, "its seconds are no number"),
        ("match", {"seconds": True}, "its seconds are no number"),
        ("match", {"seconds": -1}, "its seconds are no time"),
        ("match", {"seconds": math.nan}, "its seconds are no time"),
        ("preference", {"choice": ["q0p0", "q0p0"]}, "a choice was not shown, or is there twice"),
        ("ranking", {"choice": ["q0p0", "q0p1"]}, "2 of 3 pictures were ranked"),
    ],
)
def test_an_answer_that_cannot_be_is_a_sentence(kind, change, said, tmp_path):
    make, good = {
        "match": (match_key, [0]),
        "preference": (preference_key, [0]),
        "ranking": (ranking_key, [0, 1, 2]),
    }[kind]
    key = make()
    told = [vars(answer(key.items[1], good)), vars(answer(key.items[0], good)) | change]
    path = saved(tmp_path / "a.json", told)
    with pytest.raises(DataError) as stop:
        read_answers(path, key)
    assert str(stop.value) == (
        f"Answer 2 in '{path}' does not fit the study ({said}): "
        "save the answers again from the page."
    )


@pytest.mark.parametrize("told", [None, 3, {}, {"item": "q0"}, [], GOOD | {"choice": 3}])
def test_an_answer_without_all_its_parts_is_a_sentence(told, tmp_path):
    path = saved(tmp_path / "a.json", [told])
    with pytest.raises(DataError, match=r"does not fit the study \(it lacks a part\)"):
        read_answers(path, match_key())


def test_a_question_is_answered_once(tmp_path):
    key = match_key()
    path = saved(tmp_path / "a.json", [vars(answer(ITEM, [0])), vars(answer(ITEM, [1]))])
    with pytest.raises(DataError, match="the question was answered before"):
        read_answers(path, key)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no file of answers: save it again from its page."),
        (b"\xff\xfe{", "is no file of answers"),
        (b"[" * 100_000, "is no file of answers"),
        (b"[1, 2]", "is no file of answers"),
        (b'{"format": "something else"}', "is no file of answers"),
        (json.dumps({"format": ANSWERS_FORMAT}).encode(), "are damaged: save them again"),
        (
            json.dumps(
                {"format": ANSWERS_FORMAT, "study": "s1", "rater": "x", "seed": "1", "answers": []}
            ).encode(),
            "are damaged: save them again",
        ),
        (
            json.dumps(
                {"format": ANSWERS_FORMAT, "study": "s2", "rater": "x", "seed": 1, "answers": []}
            ).encode(),
            "answers the study s2, but the key is of s1: give the key that lies beside that page.",
        ),
    ],
)
def test_files_that_hold_no_answers_are_a_sentence(content, said, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_answers(path, match_key())


def test_keys_that_are_none_are_a_sentence(tmp_path):
    path = tmp_path / "key.json"
    with pytest.raises(DataError, match="There is no key of a study"):
        read_key(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_key(tmp_path)
    path.write_text("{}")
    with pytest.raises(DataError, match="is no key of a study: `s2s eval sheet` writes one"):
        read_key(path)
    table = json.loads(match_key().as_json())
    for damage in ({"items": []}, {"kind": "quiz"}, {"items": [{"id": "q"}]}, {"items": 3}):
        path.write_text(json.dumps(table | damage))
        with pytest.raises(DataError, match="is damaged: copy it again"):
            read_key(path)


@pytest.mark.parametrize(
    ("kind", "methods", "right"),
    [
        (Kind.MATCH, ["ours"] * 4, 2),
        (Kind.MATCH, ["ours"] * 4, 0),
        (Kind.PREFERENCE, ["ours", "ours", "theirs"], 2),
        (Kind.RANKING, ["a", "b", "b"], 3),
        (Kind.RANKING, ["a", "b", "a"], 2),
    ],
)
def test_a_key_whose_questions_have_no_answer_is_refused(kind, methods, right):
    with pytest.raises(ValueError, match="question q0"):
        Key("s", kind, 0, (item(0, methods, right),))


def test_a_key_names_everything_once():
    good = match_key(2)
    with pytest.raises(ValueError, match="no id twice"):
        replace(good, items=(good.items[0], good.items[0]))


def test_people_are_counted_once_and_must_have_said_something():
    key = match_key()
    with pytest.raises(DataError, match="There are no answers to score"):
        score(key, [said("x")])
    with pytest.raises(DataError, match="Two files are of the rater x: leave one"):
        score(key, [said("x", (ITEM, [0])), said("x", (key.items[1], [0]))])
