"""What ``s2s eval judge`` counts, by hand, and as a command."""

import io
import json
import tarfile

import numpy as np
import pytest
import torch
from conftest import TINY_RESNET, add_to_tar, photos_of
from PIL import Image

from s2s_cli import registry
from s2s_cli.data.shards import Photos
from s2s_cli.errors import DataError
from s2s_cli.evaluation.judging import Verdicts, confusion_of, verdicts_of
from s2s_cli.networks.judge import Judge, JudgeConfig

SCENES = ("red", "green", "blue")


class Colours(torch.nn.Module):
    """Knows red, green and blue without learning: the brightest of the three, on average."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures.mean(dim=(2, 3))


def colour_judge() -> Judge:
    """A judge of colours, in the files' form but for its trunk."""
    judge = Judge(JudgeConfig(SCENES, TINY_RESNET, picture_px=8))
    judge.trunk = Colours()
    judge.head = torch.nn.Linear(3, 3, bias=False)
    torch.nn.init.eye_(judge.head.weight)
    return judge.eval()


def coloured(*shown: tuple[str, int]) -> Photos:
    """Photos said to be of a scene, each of the one colour (0 red, 1 green, 2 blue)."""
    pictures = torch.zeros(len(shown), 3, 8, 8, dtype=torch.uint8)
    for number, (_, colour) in enumerate(shown):
        pictures[number, colour] = 255
    return photos_of([f"{scene}/{n}" for n, (scene, _) in enumerate(shown)], pictures)


EXAMPLES = coloured(
    ("red", 0), ("blue", 2), ("green", 0), ("red", 0), ("green", 1), ("green", 0), ("green", 0),
)  # fmt: skip


def test_rows_are_what_photos_show_and_columns_what_is_seen():
    shown, seen = torch.tensor([0, 0, 2, 1, 2]), torch.tensor([0, 1, 0, 1, 0])
    assert confusion_of(shown, seen, 3).tolist() == [[1, 1, 0], [0, 1, 0], [2, 0, 0]]


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_verdicts_are_counted_by_scene(batch):
    done = []
    verdicts = verdicts_of(colour_judge(), EXAMPLES, done.append, batch)
    assert verdicts.confusion.tolist() == [[2, 0, 0], [3, 1, 0], [0, 0, 1]]
    assert sum(done) == 7
    told = {measure.name.strip(): (measure.value, measure.of) for measure in verdicts.measures()}
    assert told == {
        "photos seen as their scene": (pytest.approx(4 / 7), "7 photos"),
        "mean over scenes": (pytest.approx((1 + 0.25 + 1) / 3), "3 scenes"),
        "red": (1.0, "2 photos"),
        "green": (0.25, "4 photos"),
        "blue": (1.0, "1 photos"),
    }


def test_the_table_stands_in_columns():
    verdicts = Verdicts(("sea", "mountain"), torch.tensor([[120, 3], [0, 45]]))
    assert verdicts.table().splitlines() == [
        "               sea mountain",
        "sea            120        3",
        "mountain         0       45",
    ]


@pytest.mark.parametrize(
    ("photos", "apart"),
    [
        (coloured(("red", 0), ("green", 1)), "(only the judge knows blue)"),
        (
            coloured(("red", 0), ("gold", 1), ("blue", 2), ("ash", 1)),
            "(only the judge knows green; only the photos show ash, gold)",
        ),
    ],
)
def test_other_scenes_are_told_in_one_sentence(photos, apart):
    with pytest.raises(DataError) as stop:
        verdicts_of(colour_judge(), photos, lambda _: None)
    assert str(stop.value) == (
        f"The judge and the photos differ in scenes {apart}: "
        "give other data with --data, or name another judge with --model."
    )


@pytest.fixture
def data(tmp_path):
    """Validation shards of two scenes, three photos each."""
    (tmp_path / "photos").mkdir()
    with tarfile.open(tmp_path / "photos" / "val-000.tar", "w") as archive:
        for scene, colour in (("dusk", (200, 90, 20)), ("sea", (20, 90, 200))):
            for number in range(3):
                file = io.BytesIO()
                Image.fromarray(np.full((40, 40, 3), colour, np.uint8)).save(file, "PNG")
                add_to_tar(archive, f"{scene}/{number}.png", file.getvalue())
    return tmp_path


@pytest.fixture
def bench(tmp_path):
    """A model that finds every picture to be of the sea."""
    judge = Judge(JudgeConfig(("sea", "dusk"), TINY_RESNET, picture_px=32))
    with torch.no_grad():
        judge.head.weight.zero_()
        judge.head.bias.copy_(torch.tensor([1.0, 0.0]))
    registry.save_network(tmp_path / "bench" / registry.JUDGE, judge)
    return tmp_path / "bench"


def test_the_command_prints_numbers_and_the_table(s2s, bench, data):
    said = s2s("eval", "judge", "-m", bench, "--data", data)
    assert said.code == 0
    assert [line.split() for line in said.out.splitlines()] == [
        ["photos", "seen", "as", "their", "scene", "0.50", "6", "photos"],
        ["mean", "over", "scenes", "0.50", "2", "scenes"],
        ["sea", "1.00", "3", "photos"],
        ["dusk", "0.00", "3", "photos"],
        [],
        ["sea", "dusk"],
        ["sea", "3", "0"],
        ["dusk", "3", "0"],
    ]


def test_the_command_prints_the_same_as_json(s2s, bench, data):
    said = s2s("eval", "judge", "-m", bench, "--data", data, "--json")
    *measures, confusion = [json.loads(line) for line in said.out.splitlines()]
    assert measures[0] == {
        "measure": "photos seen as their scene", "value": 0.5, "unit": "", "of": "6 photos",
    }  # fmt: skip
    assert confusion == {"scenes": ["sea", "dusk"], "confusion": [[3, 0], [3, 0]]}


def test_a_model_that_paints_is_no_judge(s2s, tiny_model, data):
    said = s2s("eval", "judge", "-m", tiny_model, "--data", data)
    assert said.code == 1
    assert "paints pictures and cannot judge any: name another with --model." in said.err


def test_a_judge_paints_nothing(s2s, bench, low_wav, tmp_path):
    said = s2s("generate", low_wav, "-m", bench, "-o", tmp_path / "out.png")
    assert said.code == 1
    assert "judges pictures and cannot paint new ones: name another with --model." in said.err
    assert not (tmp_path / "out.png").exists()
