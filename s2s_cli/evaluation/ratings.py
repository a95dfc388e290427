"""What people say of pictures: keys and answers of studies, and the numbers made of them.

A study's page (``study``) holds sounds and pictures under ids that tell nothing. Its key, a file of
its own, says what they are. Each person saves a file of answers, and here both come together.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import torch

from s2s_cli.choices import Kind
from s2s_cli.errors import DataError
from s2s_cli.evaluation.metrics import LEVEL, Interval, bootstrap_interval
from s2s_cli.evaluation.published import AVSTYLE, NOT_SAID, SOUND2SCENE, WILD, published
from s2s_cli.evaluation.report import Result

KEY_FORMAT, ANSWERS_FORMAT = "s2s study key 1", "s2s study answers 1"
MOST_BYTES = 16_000_000  # of a key or of answers: a thousand questions take less than one
PEOPLE = "people"  # whose eyes these numbers are seen with


# The four methods of avstyle's ranking, as its Table 1 calls them.
PRINTED = {
    "by its sound": "Ours",
    "class prediction": "Class Pred.",
    "keyword": "Keyword",
    "AdaIN": "AdaIN",
}


@dataclass(frozen=True)
class Option:
    """A picture that can be chosen."""

    id: str  # as the page calls it
    name: str  # what it was made of
    method: str  # that made it
    right: bool  # whether it was made of the very sound that is heard


@dataclass(frozen=True)
class Item:
    """A question: a sound and pictures."""

    id: str
    sound: str
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Key:
    """Everything about a study that its page must not tell."""

    study: str  # its id, which every file of answers carries
    kind: Kind
    seed: int  # of the choice of pictures, and of ids
    items: tuple[Item, ...]

    def __post_init__(self) -> None:
        ids = [item.id for item in self.items]
        ids += [option.id for item in self.items for option in item.options]
        if not self.items or len(set(ids)) < len(ids):
            raise ValueError("expected at least one question, and no id twice")
        for item in self.items:
            right = [option.method for option in item.options if option.right]
            if sorted(right) != sorted(self.methods):
                raise ValueError(
                    f"question {item.id} needs one picture of its sound by each method"
                )
            if self.kind is Kind.RANKING and len(right) < len(item.options):
                raise ValueError(f"question {item.id} ranks a picture of another sound")

    @property
    def methods(self) -> list[str]:
        """All that made pictures, in the order in which they are first met."""
        return list(dict.fromkeys(o.method for item in self.items for o in item.options))

    def as_json(self) -> str:
        """The text of its file."""
        return json.dumps({"format": KEY_FORMAT, **asdict(self)}, indent=1, ensure_ascii=False)


@dataclass(frozen=True)
class Answer:
    """What one person said to one question."""

    item: str
    choice: tuple[str, ...]  # ids of pictures; in a ranking all of them, best first
    shown: tuple[str, ...]  # ids of all pictures, as they were arranged
    seconds: float  # on this question, all visits together


@dataclass(frozen=True)
class Answers:
    """What one person said."""

    study: str
    rater: str  # a code that the page made up, which tells nothing but that two files are of one
    seed: int  # of the order in which questions and pictures were shown
    answers: tuple[Answer, ...]


def read_key(path: Path) -> Key:
    """Read what ``Key.as_json`` wrote.

    Raises:
        DataError: it is missing, or no key.
    """
    table = read_json(path, KEY_FORMAT, "key of a study", "`s2s eval sheet` writes one beside it")
    try:
        items = tuple(
            Item(
                item["id"],
                item["sound"],
                tuple(Option(o["id"], o["name"], o["method"], o["right"]) for o in item["options"]),
            )
            for item in table["items"]
        )
        return Key(table["study"], Kind(table["kind"]), table["seed"], items)
    except (KeyError, TypeError, ValueError):
        raise DataError(f"The key '{path}' is damaged: copy it again.") from None


def read_answers(path: Path, key: Key) -> Answers:
    """Read what a study's page saved, and check every answer against the key.

    Raises:
        DataError: it is missing, no file of answers, of another study, or something in it cannot
            be an answer to the question.
    """
    table = read_json(path, ANSWERS_FORMAT, "file of answers", "save it again from its page")
    study, rater, seed, told = (table.get(k) for k in ("study", "rater", "seed", "answers"))
    if not (isinstance(rater, str) and rater and type(seed) is int and isinstance(told, list)):
        raise DataError(f"The answers '{path}' are damaged: save them again from the page.")
    if study != key.study:
        raise DataError(
            f"'{path}' answers the study {study}, but the key is of {key.study}: "
            "give the key that lies beside that page."
        )
    items = {item.id: item for item in key.items}
    answers: list[Answer] = []
    for number, one in enumerate(told, 1):
        fault = fault_of(one, key.kind, items)
        if not fault and one["item"] in {answer.item for answer in answers}:
            fault = "the question was answered before"
        if fault:
            raise DataError(
                f"Answer {number} in '{path}' does not fit the study ({fault}): "
                "save the answers again from the page."
            )
        seconds = float(one["seconds"])
        answers.append(Answer(one["item"], tuple(one["choice"]), tuple(one["shown"]), seconds))
    return Answers(key.study, rater, seed, tuple(answers))


def read_json(path: Path, format: str, what: str, wish: str) -> dict[str, Any]:
    """A file that calls itself of a format, as a table.

    Raises:
        DataError: it cannot be read, or is something else.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"There is no {what} '{path}': check the path.") from None
    except OSError as error:
        raise DataError(f"'{path}' cannot be read ({error.strerror}): check the path.") from None
    try:
        table = json.loads(content)
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict) or table.get("format") != format:
        raise DataError(f"'{path}' is no {what}: {wish}.")
    return table


def fault_of(told: Any, kind: Kind, items: dict[str, Item]) -> str:
    """Why something is no answer to any of these questions; "" if it is one."""
    try:
        item, choice, shown, seconds = (told[k] for k in ("item", "choice", "shown", "seconds"))
        known = item in items
        lists = all(isinstance(s, str) for s in (*choice, *shown))
    except (KeyError, TypeError):
        return "it lacks a part"
    if not known:
        return f"there is no question {item}"
    if not (isinstance(choice, list) and isinstance(shown, list) and lists):
        return "choices are no lists of pictures"
    if sorted(shown) != sorted(option.id for option in items[item].options):
        return f"question {item} has other pictures"
    if len(set(choice)) < len(choice) or not set(choice) <= set(shown):
        return "a choice was not shown, or is there twice"
    if kind is Kind.MATCH and len(choice) != 1:
        return f"{len(choice)} pictures were chosen, not 1"
    if kind is Kind.RANKING and len(choice) != len(shown):
        return f"{len(choice)} of {len(shown)} pictures were ranked"
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return "its seconds are no number"
    return "" if 0 <= seconds < math.inf else "its seconds are no time"


def score(key: Key, people: Sequence[Answers], seed: int = 0) -> list[Result]:
    """The numbers that the paper gives of such a study.

    Args:
        key: of the study.
        people: the answers of each; some may have answered only a part.
        seed: of the bootstrap.

    Raises:
        DataError: nobody answered anything, or two files are of one person.
    """
    twice = [rater for rater, n in Counter(p.rater for p in people).items() if n > 1]
    if twice:
        raise DataError(f"Two files are of the rater {twice[0]}: leave one of them out.")
    given = [(p.rater, answer) for p in people for answer in p.answers]
    if not given:
        raise DataError("There are no answers to score: give files that a study's page saved.")
    if key.kind is Kind.RANKING:
        return ranking(key, given, seed)
    return match(key, given) if key.kind is Kind.MATCH else preference(key, given)


Given = Sequence[tuple[str, Answer]]  # who answered, and what


def match(key: Key, given: Given) -> list[Result]:
    """How often the one picture was chosen that was made of the sound."""
    items = {item.id: item for item in key.items}
    right = [
        option.right
        for _, answer in given
        for option in items[answer.item].options
        if option.id in answer.choice
    ]
    chance = sum(1 / len(answer.shown) for _, answer in given) / len(given)
    of = f"{count_of(given)}; guessing gives {100 * chance:.0f} %"
    told = share_of(f"precision: {', '.join(key.methods)}", sum(right), len(right), of)
    section = "Section 4.3, user study (ii)"
    return [replace(told, published=published(SOUND2SCENE, section, "Ours", "precision", NOT_SAID))]


def preference(key: Key, given: Given) -> list[Result]:
    """Of each method, how often its picture of the sound was among those chosen (recall), and how
    many of its pictures that were chosen were of the sound (precision)."""
    items = {item.id: item for item in key.items}
    results = []
    for method in key.methods:
        of_it = [
            (option.right, option.id in answer.choice)
            for _, answer in given
            for option in items[answer.item].options
            if option.method == method
        ]
        found = [chosen for right, chosen in of_it if right]
        kept = [right for right, chosen in of_it if chosen]
        of = count_of(given)
        results.append(share_of(f"recall probability: {method}", sum(found), len(found), of))
        if kept:
            of = f"{len(kept)} times chosen"
            results.append(share_of(f"precision: {method}", sum(kept), len(kept), of))
    return results


def ranking(key: Key, given: Given, seed: int) -> list[Result]:
    """Of each method, the mean rank (1 = best) and the mean score (the best of four gets 4).

    Intervals say how much other people would differ, or, of one person, other questions.
    """
    items = {item.id: item for item in key.items}
    people = [rater for rater, _ in given]
    alone = len(set(people)) == 1
    groups = [answer.item for _, answer in given] if alone else people
    of = count_of(given) + ("; the interval is over questions" if alone else "")
    ranks: dict[str, list[int]] = {method: [] for method in key.methods}
    for _, answer in given:
        method_of = {option.id: option.method for option in items[answer.item].options}
        for rank, id in enumerate(answer.choice, 1):
            ranks[method_of[id]].append(rank)
    results = []
    for method, own in ranks.items():
        values = torch.tensor(own, dtype=torch.float64)
        low, high = bootstrap_interval(values, groups=groups, seed=seed)
        mean, beyond = float(values.mean()), len(key.methods) + 1
        points = Interval(beyond - high, beyond - low)
        results += [
            Result(f"mean rank: {method}", mean, "", of, Interval(low, high), PEOPLE),
            Result(
                f"mean score: {method}",
                beyond - mean,
                "points",
                of,
                points,
                PEOPLE,
                published(AVSTYLE, "Table 1", PRINTED[method], "AMT", WILD)
                if PRINTED.keys() == set(key.methods)
                else None,
            ),
        ]
    return results


def share_of(name: str, hits: int, trials: int, of: str) -> Result:
    """A share in percent with its Wilson interval, which takes answers as independent."""
    low, high = wilson_interval(hits, trials)
    return Result(name, 100 * hits / trials, "%", of, Interval(100 * low, 100 * high), PEOPLE)


def count_of(given: Given) -> str:
    """How many answers of how many people."""
    people = len({rater for rater, _ in given})
    return f"{len(given)} answers of {people} {'person' if people == 1 else 'people'}"


def wilson_interval(hits: int, trials: int, level: float = LEVEL) -> Interval:
    """Where a probability lies of which some independent trials are known (Wilson 1927).

    It stays within 0 and 1 and has a width even where all or none of the trials were hits.
    """
    if not 0 <= hits <= trials or not trials:
        raise ValueError(f"expected trials and as many hits at most, got {trials} and {hits}")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = hits / trials
    middle = share + z * z / (2 * trials)
    reach = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return Interval(max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale))
