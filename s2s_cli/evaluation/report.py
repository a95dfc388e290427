"""Measures as a person or another program wants to read them: tables and figures.

A number says little alone. Beside it stand how sure it is, whose eyes it was seen with, since
another network gives another number, and what a paper has in its place.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor

from s2s_cli.errors import OutputError
from s2s_cli.evaluation.control import Measure
from s2s_cli.evaluation.metrics import Interval
from s2s_cli.evaluation.published import Published
from s2s_cli.picture.image import draft_of, write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME_WIDE, VALUE_WIDE = 60, 13  # letters of the first two columns, so that commands' lines align
DECIMALS = {"": 2, "points": 2}  # after the point, by unit; of all others one
LEFT = ("measure", "of", "")  # columns of words
PAPER_ROW = "    in the paper"
FIGURE_FORMATS = {".png": "png", ".svg": "svg"}

INK, PENCIL, GRID = "#1c1b20", "#64616c", "#e4e1db"
ACCENT, PLAIN = "#a8325e", "#a9abba"  # of what a figure is about, and of what it is compared with
SHADES = ("#faf9f6", "#ecc9cf", "#c9708f", ACCENT, "#4d1637")  # from none to all
FEW_NAMES = 24  # up to so many scenes a confusion has room for its counts

Asked = TypeVar("Asked")  # what an ending of a name stands for


@dataclass(frozen=True)
class Result(Measure):
    """A measure, how sure it is, whose eyes it was seen with, and what a paper says."""

    interval: Interval | None = None  # 95 %, in the measure's unit
    network: str = ""  # that the number was made with: another gives another number
    published: Published | None = None  # what may stand beside it


def result_of(measure: Measure) -> Result:
    """Any measure as a result; what it does not know stays empty."""
    if isinstance(measure, Result):
        return measure
    return Result(measure.name, measure.value, measure.unit, measure.of)


# Tables


@dataclass(frozen=True)
class Table:
    """Cells of text, and what is told below them."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]  # where the papers' numbers stand

    @classmethod
    def of(cls, measures: Sequence[Measure]) -> "Table":
        """Columns that no measure has anything for are left out.

        Raises:
            ValueError: there are no measures.
        """
        if not measures:
            raise ValueError("expected at least one measure, got none")
        results = [result_of(measure) for measure in measures]
        sources = list(dict.fromkeys(source_of(r.published) for r in results if r.published))

        def paper(result: Result) -> str:
            if not (number := result.published):
                return ""
            margin = f" ± {number.margin}" if number.margin is not None else ""
            mark = f" [{sources.index(source_of(number)) + 1}]" if len(sources) > 1 else ""
            said = with_unit(number.printed + margin, number.column.unit)
            return f"{said} ({number.column.network}){mark}"

        columns: list[tuple[str, Callable[[Result], str]]] = [
            ("measure", name_of),
            ("this run", lambda result: with_unit(digits(result, result.value), result.unit)),
            ("95 % interval", interval_of),
            ("paper", paper),
            ("of", lambda result: result.of),
        ]
        filled = [
            (title, [cell(result) for result in results])
            for title, cell in columns
            if title in ("measure", "this run") or any(map(cell, results))
        ]
        notes = sources if len(sources) < 2 else [f"[{n}] {s}" for n, s in enumerate(sources, 1)]
        return cls(
            tuple(title for title, _ in filled),
            tuple(zip(*(cells for _, cells in filled), strict=True)),
            tuple(notes),
        )

    @classmethod
    def across(cls, rows: Mapping[str, Sequence[Measure]]) -> "Table":
        """A row for each way that was measured, a column for each measure, as papers print them.

        What a paper has in the place of a row stands below it. ``of`` is told once, as a note, for
        it is the same of every number.

        Raises:
            ValueError: there are no measures.
        """
        results = {name: [result_of(one) for one in measures] for name, measures in rows.items()}
        columns = list(dict.fromkeys(name_of(one) for own in results.values() for one in own))
        if not columns:
            raise ValueError("expected at least one measure, got none")
        lines: list[tuple[str, ...]] = []
        for name, own in results.items():
            known = {name_of(one): one for one in own}
            lines.append((name, *(whole(known[c]) if c in known else "" for c in columns)))
            printed = {c: one.published for c, one in known.items() if one.published}
            if printed:
                cells = (with_unit(n.printed, n.column.unit) for n in printed.values())
                told = dict(zip(printed, cells, strict=True))
                lines.append((PAPER_ROW, *(told.get(c, "") for c in columns)))
        places: dict[str, dict[str, list[str]]] = {}  # of a paper: by its network, its columns
        for number in (one.published for own in results.values() for one in own):
            if number:
                place = f"{number.paper}, {number.table}, {number.data}"
                named = places.setdefault(place, {}).setdefault(number.column.network, [])
                named += [number.column.name] if number.column.name not in named else []
        notes = (
            f"{place}; "
            + "; ".join(f"{', '.join(named)} by {network}" for network, named in by.items())
            for place, by in places.items()
        )
        return cls(("", *columns), tuple(lines), tuple(notes))

    def text(self) -> str:
        """In columns; with a heading where there is more to tell than a measure, a value and of
        what it is."""
        listed = self.head[0] == "measure"
        plain = listed and {"95 % interval", "paper"}.isdisjoint(self.head)
        shown = self.rows if plain else (self.head, *self.rows)
        widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
        if listed:
            widths[:2] = max(widths[0], NAME_WIDE), max(widths[1], VALUE_WIDE)
        gap = " " if plain else "  "
        lines = [
            gap.join(f"{cell:<{wide}}" for cell, wide in zip(row, widths, strict=True)).rstrip()
            for row in shown
        ]
        return "\n".join([*lines, *(f"paper: {note}" for note in self.notes)])

    def markdown(self) -> str:
        """As GitHub and most others show it."""

        def line(cells: Sequence[str]) -> str:
            return f"| {' | '.join(map(escaped, cells))} |"

        def escaped(cell: str) -> str:
            inset = len(cell) - len(cell.lstrip())
            cell = cell.strip()
            for mark in "\\|*_<[`":
                cell = cell.replace(mark, f"\\{mark}")
            return "&nbsp;" * inset + cell

        ruler = ["---" if title in LEFT else "---:" for title in self.head]
        lines = [line(self.head), f"| {' | '.join(ruler)} |", *map(line, self.rows)]
        notes = ["", *(f"Paper: {escaped(note)}  " for note in self.notes)] if self.notes else []
        return "\n".join([*lines, *notes]) + "\n"

    def latex(self) -> str:
        """A tabular for the package booktabs."""

        def line(cells: Sequence[str]) -> str:
            return "  " + " & ".join(map(in_latex, cells)) + r" \\"

        kinds = "".join("l" if title in LEFT else "r" for title in self.head)
        return "\n".join(
            [
                rf"\begin{{tabular}}{{{kinds}}}",
                r"  \toprule",
                line(self.head),
                r"  \midrule",
                *map(line, self.rows),
                r"  \bottomrule",
                r"\end{tabular}",
                *(f"% paper: {note}" for note in self.notes),
                "",
            ]
        )


def name_of(result: Result) -> str:
    """The measure and the network it was made with: "FID (judge)"."""
    return f"{result.name} ({result.network})" if result.network else result.name


def digits(result: Result, value: float) -> str:
    """A number of a result: as exact as the paper's, else as its unit asks, or its smallness."""
    decimals = DECIMALS.get(result.unit, 1)
    if result.published:
        decimals = len(result.published.printed.partition(".")[2])
    elif result.network and 0 < abs(result.value) < 0.1:
        decimals = 2 - math.floor(math.log10(abs(result.value)))  # three that count
    return f"{value:.{decimals}f}"


def interval_of(result: Result) -> str:
    """Both ends, in the measure's unit."""
    if result.interval is None:
        return ""
    return f"[{digits(result, result.interval.low)}, {digits(result, result.interval.high)}]"


def whole(result: Result) -> str:
    """The number and its interval."""
    said = with_unit(digits(result, result.value), result.unit)
    return f"{said} {interval_of(result)}".rstrip()


def with_unit(number: str, unit: str) -> str:
    """A number and what it counts."""
    return f"{number} {unit}" if unit else number


def source_of(number: Published) -> str:
    """Where a number of a paper stands."""
    return f"{number.paper}, {number.table}: {number.row}, {number.data}"


def in_latex(text: str) -> str:
    """Text that LaTeX prints as it is."""
    inset = len(text) - len(text.lstrip())
    special = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "[": "{[}",  # which after the end of a line would be a measure of length
        **{mark: rf"\{mark}" for mark in "&%$#_{}"},
    }
    return r"\quad " * (inset > 0) + "".join(special.get(mark, mark) for mark in text.strip())


def as_json(measure: Measure) -> dict[str, Any]:
    """One measure for another program; what is not known is left out."""
    result = result_of(measure)
    table: dict[str, Any] = {
        "measure": result.name,
        "value": result.value if math.isfinite(result.value) else None,
        "unit": result.unit,
        "of": result.of,
    }
    if result.interval is not None:
        table["interval"] = list(result.interval)
    if result.network:
        table["network"] = result.network
    if number := result.published:
        table["paper"] = {
            "paper": number.paper,
            "table": number.table,
            "data": number.data,
            "row": number.row,
            "column": number.column.name,
            "value": number.value,
            "unit": number.column.unit,
            "network": number.column.network,
            **({"margin": number.margin} if number.margin is not None else {}),
        }
    return table


# A list of measures, or for each row of a wider table its own.
Measures = Sequence[Measure] | Mapping[str, Sequence[Measure]]


def table_of(measures: Measures) -> Table:
    """In the form that suits them."""
    return Table.across(measures) if isinstance(measures, Mapping) else Table.of(measures)


def records_of(measures: Measures) -> list[dict[str, Any]]:
    """Each number for another program, with its row if it has one."""
    if isinstance(measures, Mapping):
        return [{"row": row} | as_json(one) for row, own in measures.items() for one in own]
    return [as_json(one) for one in measures]


TABLES: Mapping[str, Callable[[Measures], str]] = {
    ".txt": lambda measures: table_of(measures).text() + "\n",
    ".md": lambda measures: table_of(measures).markdown(),
    ".tex": lambda measures: table_of(measures).latex(),
    ".json": lambda measures: json.dumps(records_of(measures), indent=1) + "\n",
}


def write_table(measures: Measures, path: Path, replace: bool = True) -> None:
    """Write measures as the name's ending asks: one of ``TABLES``.

    Raises:
        OutputError: the name ends in something else, or cannot be written.
    """
    write = asked_for(path, TABLES, "table")
    write_atomically(path, write(measures).encode(), replace)


def asked_for(path: Path, kinds: Mapping[str, Asked], what: str) -> Asked:
    """What a file's ending stands for.

    Raises:
        OutputError: for nothing.
    """
    try:
        return kinds[path.suffix.lower()]
    except KeyError:
        raise OutputError(
            f"'{path}' does not say which kind of {what} to write: "
            f"let the name end in {', '.join(kinds)}."
        ) from None


# Figures


def require_matplotlib() -> None:
    """Ask before the work is done.

    Raises:
        OutputError: it is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as fault:
        raise OutputError("Figures need Matplotlib: pip install 's2s-cli[eval]'.") from fault


def bars(panels: Mapping[str, Sequence[Measure]], *, title: str = "", about: str = "") -> "Figure":
    """Measures as bars with their intervals, and a diamond where a paper's number is.

    Args:
        panels: what can be compared, by the heading it stands under; one above the other, each
            with its own scale.
        title: of the whole.
        about: the name of the measure that stands out in every panel.

    Raises:
        OutputError: Matplotlib is not installed.
        ValueError: there is nothing to draw.
    """
    if not panels or not all(panels.values()):
        raise ValueError("expected at least one measure in each panel")
    require_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    counts = [len(measures) for measures in panels.values()]
    figure = Figure(
        figsize=(7.2, 0.5 + sum(0.75 + 0.34 * n for n in counts)),
        layout=ConstrainedLayoutEngine(w_pad=0.14, h_pad=0.08, hspace=0.04),
    )
    axes = figure.subplots(
        len(panels), squeeze=False, gridspec_kw={"height_ratios": [n + 0.8 for n in counts]}
    )[:, 0]
    for ax, (heading, measures) in zip(axes, panels.items(), strict=True):
        draw_panel(ax, heading, [result_of(measure) for measure in measures], about)
    entitle(figure, title)
    return figure


def draw_panel(ax: "Axes", heading: str, results: Sequence[Result], about: str) -> None:
    """One scale and its bars, the first on top."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=3.5, foreground="white")]  # so that it is seen on bars and lines
    places = range(len(results))
    colours = [ACCENT if about in (result.name, "") else PLAIN for result in results]
    ax.barh(places, [result.value for result in results], height=0.62, color=colours, zorder=2)
    reach = max(furthest(result) for result in results)
    least = min(
        0.0, *(result.interval.low if result.interval else result.value for result in results)
    )
    for place, result in zip(places, results, strict=True):
        if result.interval:
            ax.plot(result.interval, (place, place), color=INK, lw=1.4, zorder=3, path_effects=halo)
        if result.published:
            drawn = ax.scatter(
                result.published.value, place, marker="D", s=34, zorder=4,
                facecolor="white", edgecolor=INK, linewidth=1.2,
            )  # fmt: skip
            drawn.set_label("paper, on its own data")
        ax.annotate(
            with_unit(digits(result, result.value), result.unit),
            (furthest(result), place),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=INK,
            fontsize=9.5,
            path_effects=halo,
        )
    ax.set_yticks(places, [result.name.strip() for result in results], parse_math=False)
    ax.set_ylim(len(results) - 0.45, -0.55)
    room = reach - least or 1
    ax.set_xlim(least - 0.02 * room * (least < 0), reach + 0.14 * room)
    ax.set_title(heading, loc="left", fontsize=10.5, color=PENCIL, pad=5, parse_math=False)
    ax.tick_params(axis="y", length=0, labelcolor=INK, labelsize=10)
    ax.tick_params(axis="x", length=0, labelcolor=PENCIL, labelsize=9)
    ax.grid(axis="x", color=GRID, lw=0.8, zorder=0)
    ax.spines[:].set_visible(False)
    if least < 0:
        ax.axvline(0, color=PENCIL, lw=0.8, zorder=1)
    if any(result.published for result in results):
        handles, labels = ax.get_legend_handles_labels()
        ax.legend(
            handles[:1], labels[:1], loc="lower right", bbox_to_anchor=(1, 1), frameon=False,
            fontsize=9, labelcolor=PENCIL, borderaxespad=0, handletextpad=0.1,
        )  # fmt: skip


def furthest(result: Result) -> float:
    """The right end of what is drawn of a result."""
    ends = [result.value]
    ends += [result.interval.high] if result.interval else []
    ends += [result.published.value] if result.published else []
    return max(0.0, *ends)


def confusion(names: Sequence[str], counts: Tensor, *, title: str = "") -> "Figure":
    """Which scene was taken for which: the darker, the larger a share of its row.

    Args:
        names: of the scenes.
        counts: (scenes, scenes), row = what is shown, column = what it is seen as.
        title: of the whole.

    Raises:
        OutputError: Matplotlib is not installed.
        ValueError: the counts are not of so many scenes.
    """
    if counts.shape != (len(names), len(names)):
        raise ValueError(f"expected {len(names)} rows and columns, got {tuple(counts.shape)}")
    require_matplotlib()
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    many = len(names) > FEW_NAMES
    side = 2.0 + (0.2 if many else 0.48) * len(names)
    small = 7 if many else 10
    layout = ConstrainedLayoutEngine(w_pad=0.14, h_pad=0.12)
    figure = Figure(figsize=(side, side * 0.96), layout=layout)
    ax = figure.subplots()
    shares = counts.double() / counts.sum(dim=1, keepdim=True).clamp(min=1)
    shades = LinearSegmentedColormap.from_list("shades", SHADES)
    ax.imshow(shares.numpy(), cmap=shades, vmin=0, vmax=1)
    if not many:
        for row, cells in enumerate(counts.tolist()):
            for column, count in enumerate(cells):
                ink = "white" if shares[row, column] > 0.45 else INK if count else "#b9b6ae"
                ax.text(
                    column, row, f"{count:g}", ha="center", va="center", color=ink, fontsize=9.5
                )
    places = range(len(names))
    ax.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
    ax.set_yticks(places, names, parse_math=False)
    ax.tick_params(length=0, labelcolor=INK, labelsize=small)
    ax.set_xticks([place - 0.5 for place in range(1, len(names))], minor=True)
    ax.set_yticks([place - 0.5 for place in range(1, len(names))], minor=True)
    ax.grid(which="minor", color="white", lw=0.5 if many else 1.5)
    ax.tick_params(which="minor", length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("seen as", color=PENCIL, fontsize=10, labelpad=8)
    ax.set_ylabel("shown", color=PENCIL, fontsize=10, labelpad=8)
    entitle(figure, title)
    return figure


def entitle(figure: "Figure", title: str) -> None:
    """A heading at the left of a figure."""
    if title:
        figure.suptitle(
            title, x=0.016, ha="left", fontsize=12.5, fontweight="bold", color=INK, parse_math=False
        )


def save_figure(figure: "Figure", path: Path, replace: bool = True) -> None:
    """Write a figure as PNG or SVG, whole or not at all; the same figure is the same bytes.

    Raises:
        OutputError: the name ends in something else, or cannot be written.
    """
    format = asked_for(path, FIGURE_FORMATS, "figure")
    from matplotlib import rc_context

    # Matplotlib would put in the date, its version, and names drawn by chance.
    metadata = {"Date": None} if format == "svg" else {"Software": None}
    with rc_context({"svg.hashsalt": "s2s"}), draft_of(path, replace) as file:
        figure.savefig(file, format=format, dpi=200, metadata=metadata, facecolor="white")
