"""The networks that look at pictures, on tiny stand-ins in the files of the published ones."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from conftest import TINY_RESNET, randomise
from transformers import CLIPConfig, CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from s2s_cli import registry
from s2s_cli.errors import DataError, ModelError
from s2s_cli.evaluation.eyes import ClipsEye, InceptionsEye, JudgesEye, eyes_at_hand
from s2s_cli.evaluation.weights import CLIP_FILES
from s2s_cli.networks.judge import Judge, JudgeConfig

SCENES = ("rain", "ocean_surf", "fire")
SIDE_PX = 16  # of what the tiny CLIP sees
START, END = "<|startoftext|>", "<|endoftext|>"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
# As in the published vocabulary, a letter that ends a word is another one, and END comes last.
TOKENS = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), START, END]
VOCABULARY = {token: number for number, token in enumerate(TOKENS)}
LAYERS = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """A seeded tiny CLIP that can only spell, as Hugging Face publishes CLIP."""
    folder = tmp_path_factory.mktemp("clip")
    config = CLIPConfig(
        text_config={
            **LAYERS,
            "vocab_size": len(TOKENS),
            "max_position_embeddings": 40,
            "eos_token_id": 2,  # so it says in the published config, and means END
        },
        vision_config={**LAYERS, "image_size": SIDE_PX, "patch_size": 8},
        projection_dim=8,
    )
    model = CLIPModel(config)
    randomise(model, seed=1)
    model.save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": SIDE_PX}, crop_size={"height": SIDE_PX, "width": SIDE_PX}
    ).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(VOCABULARY))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder


@pytest.fixture
def copied(clip, tmp_path) -> Path:
    """Of its own for every test."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for path in clip.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


class Trap:
    """Makes a file where it is unpickled by someone who trusts it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def spelt(text: str) -> torch.Tensor:
    """The numbers of a text, (1, tokens)."""
    tokens = [START]
    for word in text.split():
        tokens += [*word[:-1], f"{word[-1]}</w>"]
    return torch.tensor([[VOCABULARY[token] for token in [*tokens, END]]])


def in_steps(*shape: int) -> torch.Tensor:
    """Random pictures with colours that a file can hold exactly, in [-1, 1]."""
    chance = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, shape, generator=chance) / 127.5 - 1


def test_clip_gives_the_cosine_of_each_picture_with_the_words_about_each_scene(clip):
    pictures = in_steps(2, 3, SIDE_PX, SIDE_PX)
    # By the model's own way through both halves, a text at a time, and numbers made by hand.
    model = CLIPModel.from_pretrained(clip).eval()
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]  # arXiv:2103.00020's
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    pixels = ((pictures + 1) / 2 - mean) / std
    with torch.inference_mode():
        logits = [
            model(input_ids=spelt(f"a photo of {name}"), pixel_values=pixels).logits_per_image
            for name in ("rain", "ocean surf", "fire")
        ]
        cosines = torch.cat(logits, dim=1) / model.logit_scale.exp()
    sight = ClipsEye(clip, SCENES).look(pictures)
    assert sight.similarities == pytest.approx(cosines, abs=1e-5)
    assert cosines.std(dim=1).min() > 1e-3  # the scenes differ, so that the order was tested
    assert sight.features.norm(dim=1) == pytest.approx(torch.ones(2), abs=1e-5)
    assert sight.probabilities is None


def test_clip_is_told_what_the_prompt_says(clip):
    eye = ClipsEye(clip, ["fire"], prompt="{name} at night")
    model = CLIPModel.from_pretrained(clip).eval()
    with torch.inference_mode():
        text = model.get_text_features(input_ids=spelt("fire at night")).pooler_output
    assert eye.texts == pytest.approx(text / text.norm(), abs=1e-5)


def test_clip_sees_a_picture_of_any_size_by_its_middle(clip):
    eye = ClipsEye(clip, SCENES)
    square = in_steps(1, 3, SIDE_PX, SIDE_PX)
    wide = torch.cat([torch.full((1, 3, SIDE_PX, 4), -1.0), square, in_steps(1, 3, SIDE_PX, 4)], 3)
    assert eye.look(wide).similarities == pytest.approx(eye.look(square).similarities, abs=1e-5)
    assert eye.look(in_steps(1, 3, 45, 62)).features.shape == (1, 8)


def test_clip_sees_a_picture_alike_alone_and_among_others(clip):
    eye = ClipsEye(clip, SCENES)
    pictures = in_steps(3, 3, 20, 20)
    alone = torch.cat([eye.look(one[None]).features for one in pictures])
    assert eye.look(pictures).features == pytest.approx(alone, abs=1e-5)


def test_a_name_that_is_longer_than_clip_can_read_is_cut(clip):
    eye = ClipsEye(clip, ["a" * 100, "fire"])
    assert eye.texts.shape == (2, 8)
    assert eye.texts.isfinite().all()


def test_clip_is_read_from_the_older_file_too(clip, copied):
    weights = CLIPModel.from_pretrained(clip).state_dict()
    (copied / "model.safetensors").unlink()
    torch.save(weights, copied / "pytorch_model.bin")
    pictures = in_steps(1, 3, SIDE_PX, SIDE_PX)
    expected = ClipsEye(clip, SCENES).look(pictures).similarities
    assert torch.equal(ClipsEye(copied, SCENES).look(pictures).similarities, expected)


@pytest.mark.parametrize("name", [*CLIP_FILES, "model.safetensors"])
def test_a_file_that_clip_lacks_is_named(copied, name):
    (copied / name).unlink()
    named = name.replace("model.safetensors", "pytorch_model.bin")
    with pytest.raises(ModelError, match=rf"lacks {named}\): fetch it with s2s models pull clip"):
        ClipsEye(copied, SCENES)


def test_a_clip_without_one_of_its_weights_is_refused_and_not_drawn_by_chance(clip, copied):
    weights = CLIPModel.from_pretrained(clip).state_dict()
    del weights["text_projection.weight"]
    (copied / "model.safetensors").unlink()
    torch.save(weights, copied / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"it lacks text_projection\.weight"):
        ClipsEye(copied, SCENES)


@pytest.mark.parametrize("wrong", ["text", "shape", "pickle"])
def test_a_clip_of_other_things_is_refused_in_one_sentence(clip, copied, wrong):
    (copied / "model.safetensors").unlink()
    path = copied / "pytorch_model.bin"
    if wrong == "text":
        path.write_text("<html>")
    elif wrong == "shape":
        weights = CLIPModel.from_pretrained(clip).state_dict()
        weights["text_projection.weight"] = torch.zeros(9, 16)
        torch.save(weights, path)
    else:
        torch.save({"logit_scale": Trap(copied / "sprung")}, path)
    with pytest.raises(ModelError, match="holds no CLIP that can be read") as stop:
        ClipsEye(copied, SCENES)
    assert "\n" not in str(stop.value)
    assert not (copied / "sprung").exists()


def test_clip_without_its_library_is_one_sentence(clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=r"pip install 's2s-cli\[eval\]'"):
        ClipsEye(clip, SCENES)


# What is at hand


def test_eyes_that_are_not_here_are_a_sentence_each():
    eyes, lacking = eyes_at_hand(SCENES)
    assert eyes == []
    assert ["s2s models pull clip" in lacking[0], "s2s models pull inception" in lacking[1]] == [
        True,
        True,
    ]


def test_eyes_that_were_pulled_are_found(clip):
    registry.metrics_dir().mkdir(parents=True)
    (registry.metrics_dir() / "clip").symlink_to(clip)
    eyes, lacking = eyes_at_hand(SCENES)
    assert [eye.name for eye in eyes] == ["CLIP ViT-B/32"]
    assert len(lacking) == 1
    assert "Inception-V3 is not here" in lacking[0]


def test_an_eye_that_was_named_must_be_there(tmp_path, clip):
    with pytest.raises(ModelError, match="Inception-V3 is not here"):
        eyes_at_hand(SCENES, clip=clip, inception=tmp_path / "inception.pth")
    with pytest.raises(ModelError, match="CLIP is not here"):
        eyes_at_hand(SCENES, clip=tmp_path)


def test_inception_that_is_missing_says_where_it_should_be(tmp_path):
    with pytest.raises(ModelError) as stop:
        InceptionsEye(tmp_path)
    assert str(tmp_path / "pt_inception-2015-12-05-6726825d.pth") in str(stop.value)


# The judge


@pytest.fixture
def judge() -> Judge:
    network = Judge(JudgeConfig(("fire", "rain", "surf"), TINY_RESNET, picture_px=16))
    return randomise(network, seed=2)


def test_the_judge_sees_scenes_in_the_order_asked_for(judge):
    pictures = in_steps(2, 3, 20, 24)
    sight = JudgesEye(judge, ("surf", "fire")).look(pictures)
    logits = judge(pictures)
    assert sight.similarities == pytest.approx(logits[:, [2, 0]], abs=1e-6)
    assert sight.features == pytest.approx(judge.describe(pictures), abs=1e-6)
    # The classes are its own, not those asked for.
    odds = logits.double().exp()
    assert sight.probabilities == pytest.approx(odds / odds.sum(dim=1, keepdim=True), abs=1e-6)
    assert not math.isclose(logits[0, 0], logits[0, 2])


def test_scenes_that_a_judge_does_not_know_are_named(judge):
    with pytest.raises(DataError, match="'mine' does not know snow, wind: train one"):
        JudgesEye(judge, ("rain", "snow", "wind"), "mine")
