"""What the documents promise is there: files, commands, options, models, sizes."""

import json
import os
import re
import shlex
from pathlib import Path

import pytest

from s2s_cli import __version__, registry, verification
from s2s_cli.evaluation.metrics import Interval
from s2s_cli.evaluation.published import published
from s2s_cli.evaluation.report import Result, Table
from s2s_cli.training.recipe import read_recipe

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "models" / "README.md", *ROOT.glob("models/*/card.md")]
MODELS = [folder for folder in (ROOT / "models").iterdir() if registry.is_model(folder)]
LARGEST_MB = {"pocket": 24, "weather": 8, "judge": 3}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_local_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def promised() -> list[list[str]]:
    """Every s2s command line that a page shows, as words."""
    lines = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for block in re.findall(r"```(?:console|bash)\n(.*?)```", text, re.DOTALL):
            for line in re.findall(r"\bs2s ([^|#\n]*)", block):
                lines.append(shlex.split(line, comments=True))
    return lines


def test_every_command_and_option_shown_exists(s2s):
    lines = promised()
    assert len(lines) > 10
    for words in lines:
        depth = {"models": 2, "eval": 2}.get(words[0], 1) + (words[1:2] == ["import"])
        path = words[:depth]
        said = s2s(*path, "--help")
        assert said.code == 0, words
        for option in (word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)):
            assert re.search(rf"{option}\b", said.out), (words, option)


def test_the_python_shown_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT / "examples" / "sounds")
    shown: dict[str, object] = {}
    for block in re.findall(
        r"```python\n(.*?)```", PAGES[0].read_text(encoding="utf-8"), re.DOTALL
    ):
        exec(block, shown)
    assert shown["picture"].shape == shown["between"].shape == (128, 128, 3)


@pytest.mark.parametrize(
    "recipe",
    [*ROOT.glob("models/*/recipe.toml"), *ROOT.glob("examples/**/*.toml")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_recipe_shown_can_be_followed(recipe):
    assert read_recipe(recipe).name


def test_the_changelog_knows_this_version():
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_there_is_a_default_model():
    assert "pocket" in [folder.name for folder in MODELS]


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_a_shipped_model_is_whole_small_described_and_listed(folder):
    size = sum((folder / name).stat().st_size for name in registry.weight_files(folder))
    assert size <= LARGEST_MB[folder.name] * 1e6
    assert (folder / "recipe.toml").is_file()
    assert (folder / registry.CARD).read_text(encoding="utf-8").startswith(f"# {folder.name}\n")
    assert f"| [{folder.name}]({folder.name}/card.md) |" in PAGES[1].read_text(encoding="utf-8")
    assert [check.what for check in verification.verify(folder) if not check.ok] == []


def records(name: str) -> list[dict]:
    """What ``s2s eval NAME --data DIR --json`` printed for pocket's card."""
    path = ROOT / "models" / "pocket" / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def measured(record: dict) -> Result:
    """A number as it was before it became JSON."""
    paper = record.get("paper")
    return Result(
        record["measure"],
        record["value"],
        record["unit"],
        record["of"],
        Interval(*record["interval"]) if "interval" in record else None,
        record.get("network", ""),
        paper and published(*(paper[k] for k in ("paper", "table", "row", "column", "data"))),
    )


def test_the_cards_numbers_are_those_of_the_commands():
    """And of the very weights that are shipped."""
    card = (ROOT / "models" / "pocket" / registry.CARD).read_text(encoding="utf-8")
    head, *told = records("scene")
    assert head["sha256"] == registry.model_sha256(ROOT / "models" / "pocket")
    rows: dict[str, list[Result]] = {}
    for record in told:
        if "row" in record:
            rows.setdefault(record["row"], []).append(measured(record))
    assert Table.across(rows).text() in card
    assert Table.of([measured(record) for record in records("control")]).text() in card


@pytest.mark.skipif("S2S_TEST_DATA" not in os.environ, reason="S2S_TEST_DATA names no data")
@pytest.mark.timeout(3600)
def test_the_command_says_the_same_again(s2s):
    """With the data that the card names, on a machine that computes alike."""
    head, *told = records("scene")
    words = ("--count", head["count"], "--seed", head["seed"], "--json", "-q")
    said = s2s("eval", "scene", "--data", os.environ["S2S_TEST_DATA"], *words)
    for record, before in zip(map(json.loads, said.lines[1:]), told, strict=True):
        assert record.keys() == before.keys()
        if "value" in record:
            assert record["value"] == pytest.approx(before["value"], rel=0.1), before
