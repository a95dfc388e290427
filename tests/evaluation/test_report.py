"""Tables and figures say what they were given, and nothing else."""

import json
import math
import re
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from s2s_cli.commands import evaluate
from s2s_cli.errors import OutputError
from s2s_cli.evaluation import report
from s2s_cli.evaluation.control import Measure
from s2s_cli.evaluation.metrics import Interval
from s2s_cli.evaluation.published import AVSTYLE, SOUND2SCENE, VGGSOUND, WILD, published
from s2s_cli.evaluation.report import Result, Table, as_json, bars, confusion, records_of

PLAIN = [
    Measure("photos seen as their scene", 0.884, "", "1615 photos"),
    Measure("  sea", 0.05, "", "254 photos"),
    Measure("a photo found again, median PSNR", 21.26, "dB", "96 photos"),
]
R1 = published(SOUND2SCENE, "Table 1 (a)", "(B) Ours", "R@1", VGGSOUND)
FID = published(SOUND2SCENE, "Table 1 (a)", "(B) Ours", "FID", VGGSOUND)
AMT = published(AVSTYLE, "Table 1", "Ours", "AMT", WILD)
RICH = [
    Result("R@1", 71.25, "%", "600 pictures", Interval(68.1, 74.2), "judge", R1),
    Result("FID", 17.234, "", "600 pictures", Interval(16, 18.5), "judge", FID),
    Result("KID", 0.0012345, "", "", Interval(-0.001, 0.0035), "judge"),
    Result("pictures", 600, "", ""),
]


# Tables


def test_plain_measures_read_as_the_commands_print_them(capsysbinary):
    evaluate.tell(PLAIN, json=False)
    printed = capsysbinary.readouterr().out.decode()
    assert Table.of(PLAIN).text() + "\n" == printed
    evaluate.tell(PLAIN, json=True)
    printed = capsysbinary.readouterr().out.decode()
    assert "".join(json.dumps(as_json(one)) + "\n" for one in PLAIN) == printed


def test_a_table_puts_this_run_beside_the_paper():
    lines = Table.of(RICH).text().splitlines()
    assert [re.split(r"\s{2,}", line) for line in lines] == [
        ["measure", "this run", "95 % interval", "paper", "of"],
        ["R@1 (judge)", "71.25 %", "[68.10, 74.20]", "40.71 % (CLIP)", "600 pictures"],
        ["FID (judge)", "17.23", "[16.00, 18.50]", "17.97 (Inception-v3)", "600 pictures"],
        ["KID (judge)", "0.00123", "[-0.00100, 0.00350]"],
        ["pictures", "600.00"],
        [f"paper: {SOUND2SCENE}, Table 1 (a): (B) Ours, {VGGSOUND}"],
    ]
    starts = [line.index("[") for line in lines[1:4]]
    assert len(set(starts)) == 1 == len({line.index("(CLIP)") for line in lines[1:2]})


def test_columns_without_anything_in_them_are_left_out():
    assert Table.of(PLAIN).head == ("measure", "this run", "of")
    assert Table.of(RICH[2:]).head == ("measure", "this run", "95 % interval")
    assert Table.of(RICH[3:]).head == ("measure", "this run")
    with pytest.raises(ValueError, match="at least one measure"):
        Table.of([])


def test_numbers_of_two_papers_say_which():
    points = Result("mean score", 3.2, "points", "", Interval(3.1, 3.3), "people", AMT)
    table = Table.of([RICH[0], points])
    place = table.head.index("paper")
    assert [row[place] for row in table.rows] == [
        "40.71 % (CLIP) [1]",
        "3.273 ± 0.046 points (people) [2]",
    ]
    assert table.notes == (
        f"[1] {SOUND2SCENE}, Table 1 (a): (B) Ours, {VGGSOUND}",
        f"[2] {AVSTYLE}, Table 1: Ours, {WILD}",
    )
    assert table.rows[1][1] == "3.200 points"  # as exact as what stands beside it


@pytest.mark.parametrize(
    ("result", "wanted"),
    [
        (Result("a", 0.0999, "", "", network="x"), "0.0999"),
        (Result("a", -0.00456789, "", "", network="x"), "-0.00457"),
        (Result("a", 0.5, "", "", network="x"), "0.50"),
        (Result("a", 0.0, "", "", network="x"), "0.00"),
        (Result("a", 12.345, "%", ""), "12.3 %"),
        (Result("a", 3.217, "points", ""), "3.22 points"),
        (Result("a", 40.0, "%", "", published=R1), "40.00 %"),
    ],
)
def test_numbers_have_as_many_digits_as_mean_something(result, wanted):
    assert Table.of([result]).rows[0][1] == wanted


AWKWARD = [
    Result("  50 % | a_b & {c} \\ #1 $x$ ~ ^ [d] *e* <f>", 1.0, "%", "`g`", network="j|k"),
    Result("plain", 2.0, "", "h"),
]


def test_markdown_stays_one_table_whatever_the_names():
    lines = Table.of([*RICH, *AWKWARD]).markdown().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 6
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {6}
    assert set(re.split(r"\s*\|\s*", table[1].strip("| "))) == {"---", "---:"}
    told = table[6]
    assert "&nbsp;&nbsp;50 % \\| a\\_b & {c} \\\\ #1 $x$ ~ ^ \\[d] \\*e\\* \\<f> (j\\|k)" in told
    assert lines[-1] == f"Paper: {SOUND2SCENE}, Table 1 (a): (B) Ours, {VGGSOUND}  "


def test_latex_prints_names_as_they_are():
    latex = Table.of([*RICH, *AWKWARD]).latex()
    rows = [line for line in latex.splitlines() if line.endswith(r" \\")]
    assert len(rows) == 1 + 6
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {4}
    assert r"\begin{tabular}{lrrrl}" in latex
    assert (
        r"\quad 50 \% | a\_b \& \{c\} \textbackslash{} \#1 \$x\$ \textasciitilde{} "
        r"\textasciicircum{} {[}d] *e* <f> (j|k)" in rows[5]
    )
    assert r"71.25 \%" in rows[1]
    assert r"$\pm$" in Table.of([Result("a", 1, "", "", published=AMT)]).latex()


def test_json_says_all_that_is_known_and_nothing_more():
    table = as_json(RICH[0])
    assert table == {
        "measure": "R@1",
        "value": 71.25,
        "unit": "%",
        "of": "600 pictures",
        "interval": [68.1, 74.2],
        "network": "judge",
        "paper": {
            "paper": SOUND2SCENE,
            "table": "Table 1 (a)",
            "data": VGGSOUND,
            "row": "(B) Ours",
            "column": "R@1",
            "value": 40.71,
            "unit": "%",
            "network": "CLIP",
        },
    }
    assert as_json(Result("a", 1, "", "", published=AMT))["paper"]["margin"] == 0.046
    assert as_json(Measure("a", math.nan, "", ""))["value"] is None


def test_a_file_is_what_its_name_ends_in(tmp_path):
    for suffix, begin in ((".txt", "measure "), (".md", "| measure"), (".tex", "\\begin")):
        report.write_table(RICH, tmp_path / f"a{suffix}")
        assert (tmp_path / f"a{suffix}").read_text(encoding="utf-8").startswith(begin)
    report.write_table(RICH, tmp_path / "a.json")
    told = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert told == [as_json(result) for result in RICH]
    with pytest.raises(OutputError) as stop:
        report.write_table(RICH, tmp_path / "a.doc")
    assert str(stop.value) == (
        f"'{tmp_path / 'a.doc'}' does not say which kind of table to write: "
        "let the name end in .txt, .md, .tex, .json."
    )


# Figures

NO_MATH = "$\\x$"  # which Matplotlib would refuse to typeset

PANELS = {
    "R@1 (judge), %": [
        Result("ours", 71.25, "%", "", Interval(68.1, 74.2), "judge", R1),
        Result(f"retrieval of {NO_MATH}", 79.5, "%", "", Interval(76.4, 82.1), "judge"),
        Result("chance", 8.3, "%", ""),
    ],
    f"KID (judge) {NO_MATH}": [
        Result("ours", 0.0123, "", "", Interval(-0.001, 0.018), "judge"),
        Result("the photos themselves, told in many words", -0.0001, "", "", None, "judge"),
    ],
}


def texts(figure) -> list:
    return [t for t in figure.findobj(lambda a: hasattr(a, "get_text")) if t.get_text()]


def test_bars_intervals_and_diamonds_stand_where_the_numbers_are():
    figure = bars(PANELS, title="ours beside others", about="ours")
    first, second = figure.axes
    assert [bar.get_width() for bar in first.patches] == [71.25, 79.5, 8.3]
    assert [tuple(line.get_xdata()) for line in first.lines] == [(68.1, 74.2), (76.4, 82.1)]
    assert [tuple(line.get_ydata()) for line in first.lines] == [(0, 0), (1, 1)]
    (diamonds,) = first.collections
    assert diamonds.get_offsets().tolist() == [[40.71, 0]]
    assert len(second.collections) == 0
    colours = [bar.get_facecolor() for bar in first.patches]
    assert colours[0] != colours[1] == colours[2]
    told = [text.get_text() for text in texts(figure)]
    for wanted in ("ours beside others", "R@1 (judge), %", "71.25 %", "8.3 %", "0.0123", "chance"):
        assert wanted in told
    # The first on top; nothing of a bar or its interval is cut off.
    assert first.get_ylim()[0] > first.get_ylim()[1]
    assert second.get_xlim()[0] < -0.001
    assert second.get_xlim()[1] > 0.018


def test_a_confusion_is_as_dark_as_its_share_and_tells_counts():
    counts = torch.tensor([[90, 10, 0], [1, 1, 2], [0, 0, 0]])
    figure = confusion(("sea", "rain", "cat_$1"), counts, title="seen")
    (ax,) = figure.axes
    shown = ax.images[0].get_array()
    assert np.allclose(shown.filled(-1), [[0.9, 0.1, 0], [0.25, 0.25, 0.5], [0, 0, 0]])
    assert ax.images[0].get_clim() == (0, 1)
    cells = {tuple(text.get_position()): text.get_text() for text in ax.texts}
    assert cells[1, 0] == "10"  # of the sea, seen as rain: column 1, row 0
    assert cells[2, 1] == "2"
    assert len(cells) == 9
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["sea", "rain", "cat_$1"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("seen as", "shown")
    with pytest.raises(ValueError, match="expected 2 rows and columns"):
        confusion(("a", "b"), counts)


def test_fifty_scenes_have_no_room_for_counts():
    figure = confusion([f"scene {n}" for n in range(50)], torch.eye(50))
    assert len(figure.axes[0].texts) == 0
    assert len(figure.axes[0].get_xticklabels()) == 50


@pytest.mark.parametrize(
    "figure",
    [
        lambda: bars(PANELS, title=f"A title {NO_MATH}", about="ours"),
        lambda: bars({"x": [Measure("one", 0.0, "", "")]}),
        lambda: confusion([f"a scene with a name {NO_MATH}"] * 12, torch.ones(12, 12), title="x"),
    ],
)
def test_no_word_lies_beyond_the_edge_or_over_another(figure):
    drawn = figure()
    drawn.draw_without_rendering()
    ink, page = drawn.get_tightbbox(), drawn.bbox_inches
    assert (min(ink.x0, ink.y0) >= 0, ink.x1 <= page.x1, ink.y1 <= page.y1) == (True, True, True)
    words = [t for ax in drawn.axes for t in (*ax.texts, ax.title, *ax.get_yticklabels())]
    words += [t for ax in drawn.axes if ax.get_legend() for t in ax.get_legend().get_texts()]
    words = [word for word in words if word.get_text()]
    for n, one in enumerate(words):
        for other in words[:n]:
            assert not one.get_window_extent().overlaps(other.get_window_extent()), (one, other)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_figure_is_written_whole_and_the_same_each_time(suffix, tmp_path):
    for name in ("a", "b"):
        figure = bars(PANELS, title="50 % & <more>", about="ours")
        report.save_figure(figure, tmp_path / f"{name}{suffix}")
    content = (tmp_path / f"a{suffix}").read_bytes()
    assert content == (tmp_path / f"b{suffix}").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{suffix}", f"b{suffix}"]
    if suffix == ".svg":
        assert ElementTree.fromstring(content).tag == "{http://www.w3.org/2000/svg}svg"
        assert b"<dc:date>" not in content
    else:
        image = Image.open(tmp_path / "a.png")
        assert image.size[0] == 1440
        assert "Software" not in image.info
        assert len(image.convert("RGB").resize((90, 90)).getcolors(8100)) > 20


def test_a_figure_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    figure = bars(PANELS)
    with pytest.raises(OutputError, match=r"kind of figure to write: .* in \.png, \.svg"):
        report.save_figure(figure, tmp_path / "a.pdf")
    (tmp_path / "a.png").write_bytes(b"mine")

    def broken(file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", broken)
    with pytest.raises(OutputError, match="Cannot write"):
        report.save_figure(figure, tmp_path / "a.png")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.png", b"mine")]


def test_without_matplotlib_it_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw in (lambda: bars(PANELS), lambda: confusion(("a", "b"), torch.eye(2))):
        with pytest.raises(OutputError) as stop:
            draw()
        assert str(stop.value) == "Figures need Matplotlib: pip install 's2s-cli[eval]'."
    assert Table.of(RICH).text()  # tables need none


@pytest.mark.parametrize("panels", [{}, {"x": []}])
def test_nothing_cannot_be_drawn(panels):
    with pytest.raises(ValueError, match="at least one measure"):
        bars(panels)


def test_rows_stand_across_with_the_papers_numbers_below_them():
    paper = published(SOUND2SCENE, "Table 1 (a)", "(B) Ours", "R@1", VGGSOUND)
    rows = {
        "(A)": [Result("FID", 3.5, "", "9 pictures", network="judge")],
        "(B)": [
            Result("R@1", 41.237, "%", "9 pictures", Interval(30, 50), "judge", paper),
            Result("FID", 2.25, "", "9 pictures", network="judge"),
        ],
    }
    shown = Table.across(rows)
    assert shown.head == ("", "FID (judge)", "R@1 (judge)")
    assert shown.rows == (
        ("(A)", "3.50", ""),
        ("(B)", "2.25", "41.24 % [30.00, 50.00]"),
        ("    in the paper", "", "40.71 %"),
    )
    assert shown.notes == (
        "Sound2Scene (arXiv:2303.17490), Table 1 (a), VGGSound (50 classes); R@1 by CLIP",
    )
    assert shown.text().splitlines()[1].split() == ["(A)", "3.50"]
    assert "&nbsp;" * 4 + "in the paper" in shown.markdown()
    assert [record["row"] for record in records_of(rows)] == ["(A)", "(B)", "(B)"]
