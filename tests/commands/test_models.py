"""``s2s models`` as its user meets it."""

import json
import shutil

import pytest

from s2s_cli import registry
from s2s_cli.networks.stylizer import Stylizer, StylizerConfig


@pytest.fixture
def mine(tiny_model, tmp_path, monkeypatch):
    """The user's data folder, with one model called "mine" in it."""
    monkeypatch.setenv("S2S_HOME", str(tmp_path / "home"))
    shutil.copytree(tiny_model, registry.user_dir() / "mine")
    return registry.user_dir() / "mine"


def test_list_names_the_shipped_and_the_users_models(s2s, mine):
    lines = s2s("models", "list").lines
    assert any(line.startswith("mine\t") and line.endswith(f"\t{mine}") for line in lines)
    assert any(line.startswith("pocket\t") for line in lines)


def test_show_prints_the_card_and_the_networks(s2s, mine):
    said = s2s("models", "show", "mine")
    assert said.lines[0] == "# tiny"
    assert "generator.safetensors\tflow" in said.out
    table = json.loads(s2s("models", "show", "mine", "--json").out)
    assert table["sha256"] == registry.model_sha256(mine)
    assert table["networks"]["audio_encoder.safetensors"]["config"]["front_end"] == "loudness"


def test_verify_passes_a_whole_model(s2s, mine):
    said = s2s("models", "verify", "mine")
    assert said.code == 0
    assert {line.split("\t")[0] for line in said.lines} == {"ok"}


def test_verify_tells_what_is_wrong(s2s, mine):
    path = mine / "generator.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    said = s2s("models", "verify", "mine")
    assert said.code == 1
    assert "no\tgenerator.safetensors has the hash" in said.out


def test_the_users_model_paints_by_its_name_and_a_picture_remembers_it(
    s2s, mine, low_wav, tmp_path
):
    out = tmp_path / "out.png"
    assert s2s("generate", low_wav, "-m", "mine", "-o", out).code == 0
    assert json.loads(s2s("info", out, "--json").out)["model"] == "mine"
    assert s2s("redo", out).code == 0


def test_an_unknown_model_is_met_with_the_nearest_name(s2s):
    said = s2s("models", "show", "poket")
    assert (said.code, said.out) == (1, "")
    assert "There is no model called 'poket'. Did you mean 'pocket'?" in said.err


def test_pull_of_an_unknown_model_is_a_sentence(s2s):
    said = s2s("models", "pull", "nothing")
    assert said.code == 1
    assert said.err.startswith("error: ")


def test_import_of_files_that_are_not_there_is_a_sentence(s2s, tmp_path):
    said = s2s(
        "models", "import", "sound2scene", "--audio", tmp_path / "a.pth",
        "--image", tmp_path / "b.pth", "--generator", tmp_path, "--name", "paper",
    )  # fmt: skip
    assert said.code == 1
    assert "a.pth does not exist" in said.err
    assert not (registry.user_dir() / "paper").exists()


def test_avstyle_takes_its_two_files_in_order_and_misses_them_in_a_sentence(s2s, tmp_path):
    said = s2s("models", "import", "avstyle", tmp_path / "g.pth", tmp_path / "audio.pth")
    assert said.code == 1
    assert "g.pth does not exist" in said.err
    assert not (registry.user_dir() / "avstyle").exists()


def test_a_model_that_restyles_is_listed_shown_and_verified_and_does_not_paint(
    s2s, mine, low_wav, tmp_path
):
    (mine / registry.GENERATOR).unlink()
    (mine / registry.IMAGE_ENCODER).unlink()
    stylizer = Stylizer(StylizerConfig(features=16, down=(4, 4, 4), blocks=2, up=(4, 4)))
    registry.save_network(mine / registry.STYLIZER, stylizer)
    registry.write_sums(mine)
    assert any(line.startswith("mine\t") for line in s2s("models", "list").lines)
    assert "stylizer.safetensors\tstylizer" in s2s("models", "show", "mine").out
    said = s2s("models", "verify", "mine")
    assert said.code == 0
    assert said.lines[-1] == "ok\ta sound restyles a picture, and it stays finite"

    said = s2s("generate", low_wav, "-m", "mine", "-o", tmp_path / "out.png")
    assert said.code == 1
    assert "'mine' restyles pictures and cannot paint new ones" in said.err
    assert not (tmp_path / "out.png").exists()
