"""What the two papers print, number by number, each with the place where it stands.

A number of ours may stand beside one of theirs, but seldom measures the same: theirs were made on
their data and with the networks that are named here. Left out is what the papers show in figures
only: of Sound2Scene Table 1 (b), which compares with ICGAN by recall probability, and the numbers
of Figure 5 beside S2I and Pedersoli et al.
"""

from collections.abc import Mapping
from dataclasses import dataclass

SOUND2SCENE = "Sound2Scene (arXiv:2303.17490)"
AVSTYLE = "Learning Visual Styles from Audio-Visual Associations (arXiv:2205.05072)"

VGGSOUND, VEGAS = "VGGSound (50 classes)", "VEGAS"
WILD = "Into the Wild"
NOT_SAID = "data not said"


@dataclass(frozen=True)
class Column:
    """What a column of a table counts."""

    name: str
    unit: str  # "%", "points", or "" for a bare number
    network: str  # whose eyes it is seen with; "people" where there is none
    higher_is_better: bool = True


@dataclass(frozen=True)
class Published:
    """One number of a paper."""

    paper: str
    table: str  # or section, where it stands in the text
    data: str  # what was measured on
    row: str
    column: Column
    printed: str  # with as many digits as the paper gives: "0.820"
    margin: float | None = None  # half of its 95 % interval, where the paper gives one

    @property
    def value(self) -> float:
        """The number, in the column's unit."""
        return float(self.printed)


@dataclass(frozen=True)
class Protocol:
    """How a paper asked people."""

    paper: str
    section: str
    task: str
    people: int
    questions: int
    options: int  # pictures to each sound


R1, R5 = Column("R@1", "%", "CLIP"), Column("R@5", "%", "CLIP")
FID = Column("FID", "", "Inception-v3", higher_is_better=False)
IS = Column("IS", "", "Inception-v3")
PRECISION = Column("precision", "%", "people")
AVC = Column("AVC", "", "OpenL3")
SCORE = Column("AMT", "points", "people")  # the best of four methods gets 4, the worst 1
CLIP = Column("CLIP", "", "CLIP ViT-B/32")


def _table(
    paper: str,
    table: str,
    data: str,
    columns: tuple[Column, ...],
    rows: Mapping[str, str],
) -> list[Published]:
    """Rows as they are printed: numbers between blanks, ± before a margin, - for no number."""
    numbers = []
    for row, cells in rows.items():
        for column, cell in zip(columns, cells.split(), strict=True):
            printed, _, margin = cell.partition("±")
            if printed != "-":
                reach = float(margin) if margin else None
                numbers.append(Published(paper, table, data, row, column, printed, reach))
    return numbers


NUMBERS: tuple[Published, ...] = (
    *_table(
        SOUND2SCENE,
        "Table 1 (a)",
        VGGSOUND,
        (R1, R5, FID, IS),
        {
            "(A) ICGAN": "30.06 62.59 16.11 12.61",
            "(B) Ours": "40.71 77.36 17.97 19.46",
            "(C) Retrieval": "51.28 80.37 - -",
            "(D) Upper bound": "57.82 85.79 - -",
        },
    ),
    *_table(
        SOUND2SCENE,
        "Table 1 (a)",
        VEGAS,
        (R1, R5),
        {
            "(A) ICGAN": "46.60 82.48",
            "(B) Ours": "57.44 84.08",
            "(C) Retrieval": "67.20 85.00",
            "(D) Upper bound": "73.60 88.2",
        },
    ),
    # The letters of (D) to (F) are those of the text, which calls 1, 5 and 10 seconds so.
    *_table(
        SOUND2SCENE,
        "Table 2",
        VGGSOUND,
        (R1, R5, FID, IS),
        {
            "(A) L2, 10 s": "18.21 46.69 24.05 9.97",
            "(B) Lnce, 10 s": "31.63 66.04 27.05 12.92",
            "(C) Ltotal, 10 s, without frame selection": "37.20 73.13 21.20 17.51",
            "(D) Ltotal, 1 s": "35.85 72.02 19.05 17.87",
            "(E) Ltotal, 5 s": "38.24 75.76 20.43 18.81",
            "(F) Ltotal, 10 s": "40.71 77.36 17.97 19.46",
        },
    ),
    *_table(SOUND2SCENE, "Section 4.3, user study (ii)", NOT_SAID, (PRECISION,), {"Ours": "83.8"}),
    *_table(
        AVSTYLE,
        "Table 1",
        WILD,
        (AVC, FID, SCORE, CLIP),
        {
            "Target": "0.842 - - 0.247",
            "Class Pred.": "0.801 91.417 1.833±0.042 0.228",
            "AdaIN": "0.812 62.851 2.269±0.044 0.232",
            "Keyword": "0.809 38.066 2.626±0.045 0.236",
            "Ours": "0.820 34.139 3.273±0.046 0.238",
        },
    ),
    *(
        number
        for scenes, cells in {
            "Sunny-to-Rainy": ("0.819", "0.827", "0.831"),
            "Snowy-to-Sunny": ("0.796", "0.802", "0.820"),
            "Sunny-to-Snowy": ("0.793", "0.808", "0.816"),
        }.items()
        for number in _table(
            AVSTYLE,
            "Table 2",
            f"{WILD}, {scenes}",
            (AVC,),
            dict(zip(("Class Pred.", "Keyword", "Ours"), cells, strict=True)),
        )
    ),
    *_table(
        AVSTYLE,
        "Table 3",
        WILD,
        (AVC, FID, CLIP),
        {
            "CycleGAN": "0.812 35.244 0.232",
            "Late Fusion": "0.811 54.025 0.230",
            "w/o ID Loss": "0.810 41.019 0.236",
            "Ours": "0.820 34.139 0.238",
            "+ Pre-training": "0.822 32.882 0.242",
        },
    ),
    *_table(
        AVSTYLE,
        "Table 4",
        WILD,
        (AVC, FID, CLIP),
        {
            "Ours (from scratch)": "0.820 34.139 0.238",
            "+ SeLaVi": "0.822 32.882 0.242",
            "+ Wav2CLIP": "0.831 30.334 0.246",
        },
    ),
)

PREFERENCE = Protocol(
    SOUND2SCENE,
    "Section 4.3, user study (i)",
    "choose all pictures that illustrate the sound, among them one of either method",
    people=70,
    questions=20,
    options=5,
)
MATCH = Protocol(
    SOUND2SCENE,
    "Section 4.3, user study (ii)",
    "choose the one picture that best illustrates the sound",
    people=70,
    questions=20,
    options=4,
)
RANKING = Protocol(
    AVSTYLE,
    "Section 4.1 and Appendix A.3",
    "rank the pictures of all methods by how well they go with the sound",
    people=20,
    questions=1000,  # of all people together
    options=4,
)


def published(paper: str, table: str, row: str, column: str, data: str) -> Published:
    """The number that stands there.

    Raises:
        LookupError: none does.
    """
    for number in NUMBERS:
        place = number.paper, number.table, number.row, number.column.name, number.data
        if place == (paper, table, row, column, data):
            return number
    raise LookupError(f"{paper} has no {column} of {row} on {data} in {table}")
