"""What ``s2s eval scene`` counts, on models whose pictures are known."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import TINY_RESNET, photos_of, randomise, sounds_of

from s2s_cli import registry
from s2s_cli.errors import DataError, ModelError
from s2s_cli.evaluation import scene
from s2s_cli.evaluation.eyes import Sight
from s2s_cli.evaluation.metrics import Moments, frechet_distance
from s2s_cli.evaluation.scene import IMAGE, REAL, RETRIEVAL, SOUND, Exam, Within, answered
from s2s_cli.networks.judge import Judge, JudgeConfig

PX = 4
SCENES = ("blue", "green", "red")
COLOURS = {"red": 0, "green": 1, "blue": 2}
LOUDNESS = {"red": 8192, "green": 16_384, "blue": 24_576}


class MeanColour(torch.nn.Module):
    """Sees the mean colour of a picture, in [0, 1]."""

    def forward(self, pictures):
        return (pictures.mean(dim=(2, 3)) + 1) / 2


class ColourEye:
    """Is told by colours which scene it is, and compares pictures by them."""

    name = "colours"

    def look(self, pictures):
        colours = MeanColour()(pictures)
        similarities = colours[:, [COLOURS[name] for name in SCENES]]
        return Sight(similarities, colours, (8 * similarities).softmax(dim=1))


class Painter:
    """Hears a scene by its loudness, and fills the picture with its colour; seeds dim it."""

    device = "cpu"

    def __init__(self, folder: Path, hears=lambda scene: scene):
        self.model = SimpleNamespace(name="painter", path=folder, image_encoder=MeanColour())
        self.hears = hears

    def feature_of(self, wave):
        name = next(s for s, level in LOUDNESS.items() if round(wave[0] * 32_768) == level)
        return torch.eye(3)[COLOURS[self.hears(name)]]

    def paint(self, feature, seed):
        colour = (255 - 10 * seed) * feature / feature.max()
        return np.broadcast_to(colour.numpy(), (PX, PX, 3)).astype(np.uint8)

    def as_tensor(self, picture):
        return torch.tensor(picture).permute(2, 0, 1)[None] / 127.5 - 1


def photos(per_scene: int, brightness: int = 255, first: int = 0):
    keys = [f"{name}/{n}" for name in COLOURS for n in range(first, first + per_scene)]
    pixels = torch.zeros(len(keys), 3, PX, PX, dtype=torch.uint8)
    for number, key in enumerate(keys):
        pixels[number, COLOURS[key.split("/")[0]]] = brightness - 10 * (number % per_scene)
    return photos_of(keys, pixels)


def sounds(per_scene: int = 4):
    keys = [f"{name}/{n}" for name in COLOURS for n in range(per_scene)]
    waves = [torch.full((160,), LOUDNESS[key.split("/")[0]], dtype=torch.int16) for key in keys]
    return sounds_of(keys, waves)


@pytest.fixture
def exam(tmp_path):
    (tmp_path / registry.GENERATOR).write_bytes(bytes(1000))

    def exam(hears=lambda scene: scene, **settings):
        known = photos(6)
        given = {
            "studio": Painter(tmp_path, hears),
            "sounds": sounds(),
            "photos": photos(3),
            "known_photos": known,
            "known_bytes": [100] * len(known),
            "seeds": 2,
            "seed": 0,
        }
        return Exam(**given | settings)

    return exam


def numbers(told, row):
    return {result.name: result for result in told.rows[row]}


def measured(exam, others=None):
    return answered(exam, [ColourEye()], others or {}, lambda: None)


def test_who_hears_rightly_is_found_and_who_does_not_is_not(exam):
    wrong = {"red": "green", "green": "red", "blue": "blue"}
    right, confused = measured(exam()), measured(exam(wrong.__getitem__))
    assert numbers(right, SOUND)["R@1"].value == 100
    assert numbers(confused, SOUND)["R@1"].value == pytest.approx(100 / 3)
    assert right.confusion["colours"].tolist() == [[8, 0, 0], [0, 8, 0], [0, 0, 8]]
    assert confused.confusion["colours"].tolist() == [[8, 0, 0], [0, 0, 8], [0, 8, 0]]
    assert [one.value for one in confused.by_scene["colours"]] == [100, 0, 0]
    low, high = numbers(confused, SOUND)["R@1"].interval
    assert low < 100 / 3 < high  # drawn are sounds: there are 12 of them, 4 are right


def test_every_number_names_its_network_and_the_paper_where_it_has_one(exam):
    found = numbers(measured(exam()), SOUND)
    assert {result.network for result in found.values()} == {"colours"}
    assert found["R@1"].published.printed == "40.71"
    assert found["R@1"].published.column.network == "CLIP"
    assert numbers(measured(exam()), RETRIEVAL)["FID"].published is None


def test_rows_are_what_they_are_called(exam):
    asked = exam()
    told = measured(asked)
    assert list(told.rows) == [IMAGE, SOUND, RETRIEVAL, REAL]
    for item in asked.items:
        own = COLOURS[asked.scene_of(item)]
        for answer in asked.answers.values():
            assert MeanColour()(answer(item))[0].argmax() == own
        real = MeanColour()(asked.photo(item))[0, own] * 255
        assert round(float(real)) in (255, 245, 235)  # one of the validation photos


def test_the_distance_is_that_of_the_reference_and_the_pictures(exam):
    asked = exam()
    known = torch.cat([MeanColour()(photo) for photo in asked.reference()])
    assert len(known) == len(asked.items)
    assert known.argmax(dim=1).bincount().tolist() == [8, 8, 8]
    seen = torch.cat([MeanColour()(asked.by_sound(item)) for item in asked.items])
    found = numbers(measured(asked), SOUND)["FID"]
    assert found.value == pytest.approx(frechet_distance(known, seen), rel=1e-9)
    assert found.interval.low <= found.value <= found.interval.high


def test_the_memory_has_the_generators_size_and_gives_the_nearest_photos(exam):
    asked = exam(known_bytes=[90] * 18)
    kept, _ = asked.memory
    assert len(kept) == 11  # 1,000 bytes
    assert len(set(kept)) == 11
    first, second = (asked.by_retrieval((0, seed)) for seed in (0, 1))
    cosines = sorted(kept, key=lambda k: k // 6 != COLOURS["red"])
    assert not torch.equal(first, second)
    assert any(torch.equal(first, photo) for photo in map(photo_of(asked), cosines))


def photo_of(asked):
    return lambda number: asked.known_photos.take([number]) / 127.5 - 1


def test_a_photo_of_the_very_moment_is_the_pair_where_keys_tell(exam):
    asked = exam(pairs_by="key", photos=photos(3, first=1))
    assert [asked.sounds.keys[n].split("/")[1] for n, _ in asked.items[:6]] == list("112233")
    for item in asked.items:
        place = int(asked.sounds.keys[item[0]].split("/")[1]) - 1
        own = COLOURS[asked.scene_of(item)]
        shown = MeanColour()(asked.photo(item))[0, own] * 255
        assert round(float(shown)) == 255 - 10 * place


def test_variety_is_that_of_the_photos_where_pictures_are_photos(exam):
    spread = Within()
    spread.update(torch.tensor([[0.0, 1.0], [2.0, 1.0]]), torch.tensor([5, 5]))
    spread.update(torch.tensor([[10.0, 4.0], [10.0, 0.0]]), torch.tensor([3, 3]))
    assert spread.deviation == pytest.approx(((1 + 1 + 4 + 4) / 4) ** 0.5)
    assert numbers(measured(exam(seeds=1)), SOUND)["variety"].value == pytest.approx(0, abs=1e-3)


def test_what_is_shown_together_changes_nothing(exam, monkeypatch):
    whole = measured(exam())
    monkeypatch.setattr(scene, "BATCH", 5)
    for row, results in measured(exam()).rows.items():
        for result, again in zip(whole.rows[row], results, strict=True):
            assert again.value == pytest.approx(result.value, rel=1e-9, abs=1e-9)


def test_another_model_gets_a_row_of_its_own(exam, tmp_path):
    told = measured(exam(), {"deaf": Painter(tmp_path, lambda _: "red")})
    assert list(told.rows)[-1] == "deaf"
    assert numbers(told, "deaf")["R@1"].value == pytest.approx(100 / 3)


def test_the_jackknife_knows_how_sure_a_mean_is():
    """Of one number, with as much spread everywhere, FID is the squared distance of the means."""
    chance = torch.Generator().manual_seed(0)
    draws = []
    for _ in range(60):
        seen = [scene.Impression(ColourEye()) for _ in range(2)]
        for impression, mean in zip(seen, (0.0, 2.0), strict=True):
            features = mean + torch.randn(200, 1, generator=chance)
            impression.folds = [Moments.of(features[fold::10]) for fold in range(10)]
        _, interval = scene.distance_of(*seen)
        draws.append(interval.low <= 4 <= interval.high)
    assert 0.85 <= sum(draws) / len(draws) <= 1


def test_a_model_without_an_image_encoder_and_sounds_without_photos_are_sentences(exam, tmp_path):
    deaf = Painter(tmp_path)
    deaf.model.image_encoder = None
    with pytest.raises(ModelError, match="has no image encoder, which"):
        exam(studio=deaf)
    with pytest.raises(DataError, match="No sound of the validation shards has a photo"):
        exam(pairs_by="key", photos=photos(3, first=100))


@pytest.fixture
def data(tiny_data, tmp_path) -> Path:
    """The tiny shards, which serve to validate as well."""
    for kind in ("photos", "sounds"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for split in ("train", "val"):
            source = tiny_data / kind / "train-000.tar"
            (tmp_path / "data" / kind / f"{split}-000.tar").write_bytes(source.read_bytes())
    return tmp_path / "data"


@pytest.fixture
def judge(tmp_path) -> Path:
    network = Judge(JudgeConfig(("shrill", "deep"), TINY_RESNET, picture_px=32))
    registry.save_network(tmp_path / "judge" / registry.JUDGE, randomise(network, 0))
    return tmp_path / "judge"


def test_the_command_prints_the_table_and_again_the_same(s2s, tiny_model, judge, data, tmp_path):
    words = ("eval", "scene", "-m", tiny_model, "--judge", judge, "--data", data, "-n", 2)
    said = s2s(*words, "--json", "-o", tmp_path / "table.md", "--figures", tmp_path / "figures")
    assert said.code == 0, said.err
    head, *records = map(json.loads, said.lines)
    assert head == {
        "model": str(tiny_model),
        "sha256": registry.model_sha256(tiny_model),
        "count": 2,
        "seed": 0,
    }
    *numbers, confusion = records
    assert {(one["row"], one["measure"]) for one in numbers} == {
        (row, name) for row in (IMAGE, SOUND, RETRIEVAL, REAL)
        for name in ("R@1", "FID", "variety", "IS")
    }  # fmt: skip
    assert {one["network"] for one in numbers} == {"judge"}
    assert np.array(confusion["confusion"]).sum(axis=1).tolist() == [12, 12]
    assert confusion["scenes"] == ["deep", "shrill"]
    assert s2s(*words, "--json").lines == said.lines
    table = (tmp_path / "table.md").read_text()
    assert table.startswith("|  | R@1 (")
    assert sorted(file.name for file in (tmp_path / "figures").iterdir()) == [
        "confusion-judge.png", "pictures.jpg", "table.png",
    ]  # fmt: skip
    plain = s2s(*words)
    assert plain.lines[1].split()[:2] == ["(A)", "image"]
    assert "24 pictures in each row" in plain.out


def test_another_model_is_an_ablation(s2s, tiny_model, deaf_model, judge, data):
    said = s2s(
        "eval", "scene", "-m", tiny_model, "--judge", judge, "--data", data, "-n", 1,
        "--ablation", deaf_model,
    )  # fmt: skip
    assert said.code == 0, said.err
    assert str(deaf_model) in said.out


def test_a_judge_of_other_scenes_is_a_sentence(s2s, tiny_model, data):
    said = s2s("eval", "scene", "-m", tiny_model, "--data", data, "-n", 1)
    assert said.code == 1
    assert "The judge 'judge' does not know deep, shrill: train one with s2s train" in said.err
