"""What ``s2s eval style`` counts, on methods whose answers are known."""

import json
import shutil

import numpy as np
import pytest
import torch
from conftest import photos_of, randomise, sounds_of

from s2s_cli import registry
from s2s_cli.data.shards import Photos, Sounds
from s2s_cli.errors import DataError, ModelError
from s2s_cli.evaluation.baselines import Labels, adain
from s2s_cli.evaluation.eyes import Sight
from s2s_cli.evaluation.style import (
    Trial,
    compared,
    looks,
    louder_is_further,
    structure,
    structure_at,
    structure_kept,
)
from s2s_cli.networks.flow import Autoencoder, AutoencoderConfig
from s2s_cli.networks.judge import Judge, JudgeConfig
from s2s_cli.networks.layers import ResNetConfig

PX = 16
SCENES = ("deep", "rain")


class Colours:
    """Latents that are the colours themselves, so that AdaIN can be computed by hand."""

    def encode(self, pictures):
        return pictures

    def decode(self, latents):
        return latents


class Blueness:
    """A judge that sees rain where blue outweighs red."""

    class config:  # noqa: N801
        scenes = SCENES

    def describe(self, pictures):
        red, _, blue = pictures.mean(dim=(2, 3)).T
        return torch.stack([torch.ones_like(red), blue - red], dim=1)

    def __call__(self, pictures):
        blueness = self.describe(pictures)[:, 1]
        return torch.stack([-blueness, blueness], dim=1)


class Bluer:
    """Hears how loud a sound is, and paints as much blue over a photo."""

    device = torch.device("cpu")

    def prepared(self, wave):
        return wave

    def feature_of(self, wave):
        return torch.tensor([float(np.abs(wave).mean())])

    def restyle(self, photo, feature):
        bluer = photo.pixels + np.array([0, 0, 200 * float(feature[0])])
        return bluer.clip(0, 255).astype(np.uint8)


def coloured(colour, scene, count=3) -> Photos:
    pixels = torch.tensor(colour, dtype=torch.uint8)[None, :, None, None].repeat(count, 1, PX, PX)
    pixels[:, :, ::2] += 8  # stripes, so that there is something to keep
    return photos_of([f"{scene}/{number}" for number in range(count)], pixels)


def loud(amplitude, scene, count=3) -> Sounds:
    wave = torch.full((1600,), round(amplitude * 32_768), dtype=torch.int16)
    return sounds_of([f"{scene}/{number}" for number in range(count)], [wave] * count)


@pytest.fixture
def trial():
    def trial(amplitude=0.5, restyler=None, sources=("deep",), targets=("rain",)):
        return Trial(
            restyler=restyler or Bluer(),
            judge=Blueness(),
            autoencoder=Colours(),
            photos=coloured((120, 60, 40), "deep"),
            sounds=loud(amplitude, "rain"),
            known_photos=coloured((30, 60, 180), "rain"),
            known_sounds=loud(0.9, "rain"),
            sources=sources,
            targets=targets,
            pairs_per_scene=4,
            seed=0,
        )

    return trial


def told(measures) -> dict[str, float]:
    return {measure.name: measure.value for measure in measures}


@pytest.mark.parametrize(("amplitude", "share"), [(0.3, 0.0), (0.5, 1.0)])
def test_a_look_counts_where_the_judge_sees_it(trial, amplitude, share):
    # Blue begins at 40 and must pass the red of 120: above an amplitude of 0.4.
    found = told(looks(trial(amplitude), lambda: None))
    assert found["seen as rain: the photo itself"] == 0
    assert found["seen as rain: by its sound"] == share
    # Labels are what is heard in the training sounds, which are loud enough.
    assert found["seen as rain: keyword"] == found["seen as rain: class prediction"] == 1
    assert found["seen as rain: AdaIN"] == 1
    assert found["seen as all: by its sound"] == share


def test_how_likely_a_look_is_tells_more_than_which_is_likeliest(trial):
    (itself, restyled, *_) = looks(trial(0.3), lambda: None)
    # Blue and red of 40 and 120, in [-1, 1]; the judge's logits are the difference, up and down.
    before, after = -80 / 127.5, (40 + 200 * 0.3 - 120) / 127.5
    for measure, blueness in ((itself, before), (restyled, after)):
        likely = 1 / (1 + np.exp(-2 * blueness))
        told = float(measure.of.removeprefix("4 photos; ").removesuffix(" likely"))
        assert told == pytest.approx(likely, abs=0.005)  # pixels are whole numbers


def test_louder_must_move_a_photo_further(trial):
    assert told(louder_is_further(trial(), lambda: None)) == {
        "louder rain moves a photo further": 1
    }

    class Deaf(Bluer):
        def feature_of(self, wave):
            return torch.tensor([0.5])

    deaf = told(louder_is_further(trial(restyler=Deaf()), lambda: None))
    assert deaf == {"louder rain moves a photo further": 0}


def test_structure_is_compared_at_one_change_of_style(trial):
    measures = structure_kept(trial(), lambda: None)
    assert [measure.name for measure in measures] == [
        "structure kept: by its sound",
        "  at the same change",
        "structure kept: AdaIN",
        "  at the same change",
    ]
    assert measures[1].of == measures[3].of
    # A constant of blue leaves the drawing as it is.
    assert measures[0].value == measures[1].value == pytest.approx(1, abs=1e-3)


def test_a_line_begins_at_the_photo_itself_and_is_straight_in_between():
    line = np.array([[0.2, 0.9], [0.4, 0.5]])
    assert [structure_at(line, change) for change in (0, 0.1, 0.2, 0.3, 0.4)] == pytest.approx(
        [1, 0.95, 0.9, 0.7, 0.5]
    )


def test_structure_of_ssim_by_hand():
    chance = torch.Generator().manual_seed(0)
    picture = torch.rand(3, 11, 11, generator=chance) * 2 - 1
    other = torch.rand(3, 11, 11, generator=chance) * 2 - 1
    # One window covers all: a weighted correlation.
    place = np.arange(11) - 5
    bell = np.exp(-(place**2) / (2 * 1.5**2))
    weights = np.outer(bell, bell) / bell.sum() ** 2
    luma = [
        np.tensordot([0.299, 0.587, 0.114], (p.double().numpy() + 1) / 2, axes=1)
        for p in (picture, other)
    ]
    x, y = (values - (weights * values).sum() for values in luma)
    floor = 0.03**2 / 2
    wanted = ((weights * x * y).sum() + floor) / (
        np.sqrt((weights * x * x).sum() * (weights * y * y).sum()) + floor
    )
    assert structure(picture, other) == pytest.approx(wanted, abs=1e-5)
    assert structure(picture, picture) == pytest.approx(1)
    assert structure(picture * 0.3 + 0.2, picture) == pytest.approx(1, abs=0.02)
    assert structure(-picture, picture) < -0.9


def test_adain_takes_over_mean_and_deviation_of_every_map():
    chance = torch.Generator().manual_seed(0)
    picture, style = (
        (torch.rand(1, 3, PX, PX, generator=chance) - 0.5) * scale for scale in (1.0, 0.4)
    )
    style = style + torch.tensor([0.3, -0.2, 0.1])[:, None, None]
    restyled = adain(Colours(), picture, style)
    assert torch.allclose(restyled.mean(dim=(2, 3)), style.mean(dim=(2, 3)), atol=1e-5)
    assert torch.allclose(restyled.std(dim=(2, 3)), style.std(dim=(2, 3)), atol=1e-3)
    # Its drawing stays, and strength is how far it goes.
    assert torch.corrcoef(torch.stack([restyled[0, 0].ravel(), picture[0, 0].ravel()]))[0, 1] > 0.99
    assert torch.equal(adain(Colours(), picture, style, 0.0), picture)
    assert torch.allclose(adain(Colours(), picture, style, 0.5), (picture + restyled) / 2)


def test_adain_runs_between_the_halves_of_an_autoencoder():
    torch.manual_seed(0)
    network = Autoencoder(AutoencoderConfig(widths=(8, 8, 8), depth=1, picture_px=PX)).eval()
    pictures = torch.rand(2, 3, PX, PX) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(
            adain(network, pictures, pictures),
            network.decode(network.encode(pictures)).clamp(-1, 1),
            atol=1e-5,
        )


def test_labels_are_means_and_a_class_is_the_nearest():
    features = torch.tensor([[4.0, 1], [4, 3], [0, 9], [0, 11]])
    labels = Labels.of(features, ["sea", "sea", "fire", "fire"])
    assert labels.scenes == ("fire", "sea")
    assert labels.keyword("sea").tolist() == [4, 2]
    assert labels.class_prediction(torch.tensor([1.0, 9.0])).tolist() == [0, 10]
    # Nearer to fire by the angle alone; what all sounds have in common is taken away.
    assert labels.class_prediction(torch.tensor([3.5, 5.0])).tolist() == [4, 2]
    with pytest.raises(DataError, match="No sound of 'snow'"):
        labels.keyword("snow")


@pytest.mark.parametrize(
    ("scenes", "error", "said"),
    [
        ({"sources": ("sea", "deep")}, DataError, "no photos of sea"),
        ({"targets": ("rain", "snow")}, DataError, "no sounds of snow"),
        ({"sources": ()}, DataError, "Only photos of rain itself"),
    ],
)
def test_scenes_that_are_not_there(trial, scenes, error, said):
    with pytest.raises(error, match=said):
        trial(**scenes)


def test_a_judge_that_does_not_know_the_scene(trial, monkeypatch):
    monkeypatch.setattr(Blueness.config, "scenes", ("deep", "sea"))
    with pytest.raises(ModelError, match="does not know rain"):
        trial()


@pytest.fixture
def data(tiny_data, tmp_path):
    """Shards in which what is validated is what was learned from."""
    for kind in ("photos", "sounds"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for part in ("train", "val"):
            shutil.copy(tiny_data / kind / "train-000.tar", tmp_path / f"data/{kind}/{part}-0.tar")
    return tmp_path / "data"


@pytest.fixture
def judge(tmp_path):
    resnet = ResNetConfig(depths=(1, 1, 1, 1), widths=(8, 8, 8, 16))
    network = randomise(Judge(JudgeConfig(("deep", "shrill"), resnet, 32)), 0)
    registry.save_network(tmp_path / "judge" / registry.JUDGE, network)
    return tmp_path / "judge"


class BlueEye:
    """As CLIP: says how much a picture looks like rain, by its blue."""

    name = "blue"

    def look(self, pictures):
        return Sight(similarities=pictures[:, 2].mean(dim=(1, 2))[:, None])


class LoudAndBlue:
    """As OpenL3: a sound points up, and a picture the more so the bluer it is than red."""

    def hear(self, wave, hertz):
        return torch.tensor([0.0, 1.0])

    def see(self, picture):
        red, _, blue = picture.mean(dim=(1, 2)) + 1
        return torch.stack([red, blue])


def test_methods_stand_side_by_side_with_the_papers_numbers(trial):
    asked = trial(0.5)
    rows = compared(asked, [BlueEye()], LoudAndBlue(), lambda: None)
    assert list(rows) == ["by its sound", "class prediction", "keyword", "AdaIN"]
    pictures = [asked.answers(pair)["by its sound"] for pair in asked.pairs]
    red, _, blue = (torch.stack(pictures).mean(dim=(0, 2, 3)) + 1).tolist()
    told = {one.name: one for one in rows["by its sound"]}
    assert told["CLIP"].value == pytest.approx(blue - 1, abs=1e-5)
    assert told["AVC"].value == pytest.approx(blue / (red**2 + blue**2) ** 0.5, abs=1e-5)
    assert (told["CLIP"].published.printed, told["AVC"].published.printed) == ("0.238", "0.820")
    assert (told["CLIP"].network, told["AVC"].network) == ("blue", "OpenL3")
    assert [one.published.printed for one in rows["AdaIN"]] == ["0.232", "0.812"]


def test_the_command_prints_every_number_the_same_each_time(
    s2s, style_model, tiny_model, biggan_model, judge, data
):
    def evaluate(*more):
        return s2s(
            "eval", "style", "-m", style_model, "--judge", judge, "--painter", tiny_model,
            "--data", data, "--from", "deep", "--to", "shrill", "--pairs", 3, "--json", *more,
        )  # fmt: skip

    said = evaluate()
    assert said.code == 0, said.err
    told = [json.loads(line) for line in said.lines]
    assert [one["measure"] for one in told[:3]] == [
        "seen as shrill: the photo itself",
        "seen as shrill: by its sound",
        "seen as shrill: class prediction",
    ]
    assert len(told) == 14 + 5 * 3  # and a table: FID, variety and IS of each method
    rows = ["target", "by its sound", "class prediction", "keyword", "AdaIN"]
    assert list(dict.fromkeys(one["row"] for one in told[14:])) == rows
    assert "OpenL3" in said.err
    assert evaluate().lines == said.lines
    other = evaluate("--seed", 1)
    assert other.code == 0
    assert other.lines != said.lines
    refused = evaluate("--painter", biggan_model)
    assert (refused.code, refused.lines) == (1, [])
    assert "has no autoencoder" in refused.err
