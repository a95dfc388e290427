"""Models by name: found, loaded strictly, verified, and refused in one sentence when broken."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from s2s_cli import registry, verification
from s2s_cli.errors import ModelError
from s2s_cli.networks.audio_encoder import AudioEncoder, AudioEncoderConfig
from s2s_cli.networks.biggan import BigGAN, BigGANConfig
from s2s_cli.networks.image_encoder import ImageEncoder, ImageEncoderConfig
from s2s_cli.networks.judge import Judge, JudgeConfig
from s2s_cli.networks.layers import ResNetConfig
from s2s_cli.networks.stylizer import Stylizer, StylizerConfig

TINY = ResNetConfig(depths=(1, 1), widths=(4, 6))
HEARING = AudioEncoderConfig(
    resnet=ResNetConfig(depths=(1, 1), widths=(4, 6), in_channels=1), features=6, seconds=0.5
)
PAINTING = BigGANConfig(
    channels=4, multipliers=(2, 2, 1), attention_px=(), slot=3, features=6, condition=5
)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """The user's models; none is shipped."""
    monkeypatch.setenv("S2S_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(registry, "shipped_dir", lambda: tmp_path / "shipped")
    folder = tmp_path / "home" / "models"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def pond(home) -> Path:
    """A model of three tiny networks that were never trained."""
    torch.manual_seed(0)
    folder = home / "pond"
    registry.save_network(folder / registry.AUDIO_ENCODER, AudioEncoder(HEARING))
    registry.save_network(
        folder / registry.IMAGE_ENCODER, ImageEncoder(ImageEncoderConfig(resnet=TINY))
    )
    registry.save_network(folder / registry.GENERATOR, BigGAN(PAINTING))
    registry.write_sums(folder)
    return folder


def rewrite(path: Path, **changes: Any) -> None:
    """Save a weight file again with another header, or with tensors changed or (None) dropped."""
    network, config = registry.read_header(path)
    about = {"network": network, "config": config}
    tensors = load_file(path)
    for key, value in changes.items():
        if key in about:
            about[key] = value
        elif value is None:
            del tensors[key]
        else:
            tensors[key] = value
    save_file(tensors, path, metadata={"s2s": json.dumps(about)})


def test_a_name_and_a_path_find_the_same_model(pond):
    assert registry.names() == ["pond"]
    assert registry.find("pond") == registry.find(pond) == pond


def test_a_shipped_model_comes_before_the_users(pond):
    shipped = registry.shipped_dir() / "pond"
    shipped.mkdir(parents=True)
    (shipped / registry.GENERATOR).touch()
    assert registry.find("pond") == shipped
    assert registry.names() == ["pond"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("pnod", "There is no model called 'pnod'. Did you mean 'pond'?"),
        ("zzz", "There is no model called 'zzz'. Known: pond."),
        ("..", "There is no model called '..'"),
        ("", "There is no model called ''"),
        (
            "/usr",
            "/usr holds no model: it should contain one of generator.safetensors, "
            "stylizer.safetensors, judge.safetensors, localiser.safetensors.",
        ),
    ],
)
def test_an_unknown_name_gets_one_helpful_sentence(pond, name, sentence):
    with pytest.raises(ModelError) as stop:
        registry.find(name)
    assert str(stop.value).startswith(sentence)


def test_a_path_is_seen_from_where_the_user_stands(pond, tmp_path, monkeypatch):
    """It never leads from the folder of models to somewhere else."""
    beside = pond.parent.parent / "beside"
    beside.mkdir()
    (beside / registry.GENERATOR).touch()
    with pytest.raises(ModelError, match="no model called"):
        registry.find("../beside")
    monkeypatch.chdir(pond)
    with pytest.raises(ModelError, match="no model called"):
        registry.find("../beside")
    monkeypatch.chdir(beside.parent / "models")
    assert registry.find("../beside") == Path("../beside")


def test_finding_a_model_imports_no_torch(pond):
    """`s2s --help`, completion and `s2s models list` depend on it."""
    script = (
        "import sys; from s2s_cli import registry; registry.names(); registry.find('pond');"
        "registry.read_header(registry.find('pond') / registry.GENERATOR);"
        "assert not {'torch', 'numpy', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_network_comes_back_the_same(pond):
    network = registry.load_network(pond / registry.GENERATOR)
    again = pond / "again.safetensors"
    registry.save_network(again, network)
    assert again.read_bytes() == (pond / registry.GENERATOR).read_bytes()
    assert network.config == PAINTING
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


def test_float16_halves_the_matrices_and_spares_the_vectors(pond):
    """A running variance may well lie outside float16's range; a matrix of weights does not."""
    path = pond / registry.AUDIO_ENCODER
    network = registry.load_network(path)
    network.trunk.bn1.running_var.fill_(1e6)
    registry.save_network(path, network, dtype="float16")
    stored = load_file(path)
    assert stored["trunk.conv1.weight"].dtype == torch.float16
    assert stored["trunk.bn1.running_var"].dtype == torch.float32
    loaded = registry.load_network(path)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert loaded.trunk.bn1.running_var[0] == 1e6


def test_weights_that_are_not_finite_are_never_written(pond):
    path = pond / registry.GENERATOR
    before = path.read_bytes()
    network = registry.load_network(path)
    network.linear.weight[0, 0] = 1e6  # finite, but not in float16
    with pytest.raises(ModelError, match=r"linear\.weight is not finite"):
        registry.save_network(path, network, dtype="float16")
    assert path.read_bytes() == before
    assert len(list(pond.iterdir())) == 4  # three networks and their hashes: nothing half-written


def test_a_model_opens_with_one_hash_of_its_networks(pond):
    model = registry.open_model("pond")
    assert (model.name, model.path) == ("pond", pond)
    assert model.sha256 == registry.model_sha256(pond)
    picture = model.generator.paint(model.generator.noise([0]), torch.ones(1, 6))
    assert picture.shape == (1, 3, 16, 16)

    (pond / registry.CARD).write_text("# Pond")
    assert registry.model_sha256(pond) == model.sha256  # a better card paints no other picture
    rewrite(pond / registry.GENERATOR, **{"linear.bias": torch.ones(128)})
    assert registry.model_sha256(pond) != model.sha256


def test_a_model_without_an_image_encoder_still_opens(pond):
    (pond / registry.IMAGE_ENCODER).unlink()
    assert registry.open_model("pond").image_encoder is None


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda p: p.unlink(), "is missing: the model is incomplete"),
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "cannot be read"),
        (lambda p: p.write_text("not weights at all"), "cannot be read"),
        (lambda p: save_file({"a": torch.ones(1)}, p), "does not say which network it holds"),
        (lambda p: rewrite(p, network="dream"), "holds a 'dream', which s2s does not know"),
        (lambda p: rewrite(p, config=3), "does not say which network it holds"),
        (lambda p: rewrite(p, config={"slots": 3}), "slots is unknown. Did you mean 'slot'?"),
        (lambda p: rewrite(p, config={"slot": -3}), "asks for a network that cannot be built"),
        (lambda p: rewrite(p, config={"slot": 10000000000000}), "it "),
        (lambda p: rewrite(p, config={}), "does not fit its network: it lacks"),
        (lambda p: rewrite(p, **{"linear.bias": None}), "it lacks linear.bias; fetch"),
        (lambda p: rewrite(p, dream=torch.ones(1)), "it does not belong in it: dream"),
        (lambda p: rewrite(p, **{"linear.bias": torch.ones(3)}), "it misshapes linear.bias"),
        (
            lambda p: rewrite(p, **{"linear.bias": torch.full((128,), torch.nan)}),
            "linear.bias is not finite",
        ),
    ],
)
def test_a_broken_file_is_refused_in_one_sentence(pond, damage, sentence):
    path = pond / registry.GENERATOR
    damage(path)
    with pytest.raises(ModelError) as stop:
        registry.open_model("pond")
    assert str(path) in str(stop.value)
    assert sentence in str(stop.value)
    assert "\n" not in str(stop.value)
    assert not all(check.ok for check in verification.verify("pond"))


def test_networks_for_features_of_different_lengths_do_not_make_a_model(pond):
    config = BigGANConfig(**{**vars(PAINTING), "features": 7})
    registry.save_network(pond / registry.GENERATOR, BigGAN(config))
    with pytest.raises(ModelError, match="mixes networks for features of length 6 and 7"):
        registry.open_model("pond")


def test_networks_in_the_wrong_place_do_not_make_a_model(pond):
    (pond / registry.GENERATOR).write_bytes((pond / registry.AUDIO_ENCODER).read_bytes())
    with pytest.raises(ModelError, match="holds another network"):
        registry.open_model("pond")


def test_a_sound_model_passes_every_check(pond):
    checks = verification.verify("pond")
    assert len(checks) == 3 + 3 + 1  # hashes, networks, one picture
    assert all(check.ok for check in checks), checks


def test_verify_names_the_file_whose_bytes_changed(pond):
    rewrite(pond / registry.GENERATOR, **{"linear.bias": torch.ones(128)})
    faults = [check for check in verification.verify("pond") if not check.ok]
    assert [check.what for check in faults] == [
        "generator.safetensors has the hash that SHA256SUMS states"
    ]


def test_verify_misses_a_file_that_the_hashes_name(pond):
    (pond / registry.IMAGE_ENCODER).unlink()
    assert any("is missing" in check.fault for check in verification.verify("pond"))


def test_the_hashes_are_what_sha256sum_reads(pond):
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", registry.SUMS], cwd=pond, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_the_header_alone_tells_the_config(pond):
    family, config = registry.read_header(pond / registry.GENERATOR)
    assert family == "biggan"
    assert json.loads(json.dumps(config))["multipliers"] == [2, 2, 1]


def test_a_saved_network_may_be_read_by_everyone_who_may_read_new_files(tmp_path):
    """Otherwise a model that root installs would be closed to all others."""
    (tmp_path / "new").touch()
    encoder = ImageEncoder(ImageEncoderConfig(TINY))
    registry.save_network(tmp_path / "a.safetensors", encoder)
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "new").stat().st_mode


# Models that restyle pictures


@pytest.fixture
def brush(home) -> Path:
    """A model of two tiny networks that restyle pictures."""
    torch.manual_seed(0)
    folder = home / "brush"
    config = StylizerConfig(features=6, down=(4, 4, 4), blocks=2, up=(4, 4), fusion="modulated")
    registry.save_network(folder / registry.AUDIO_ENCODER, AudioEncoder(HEARING))
    registry.save_network(folder / registry.STYLIZER, Stylizer(config))
    registry.write_sums(folder)
    return folder


def test_a_stylizer_opens_with_its_audio_encoder(brush):
    model = registry.open_stylizer("brush")
    assert (model.name, model.path) == ("brush", brush)
    assert model.sha256 == registry.model_sha256(brush)
    assert model.stylizer.config.fusion == "modulated"
    assert model.audio_encoder.config == HEARING
    assert model.stylizer(torch.zeros(1, 3, 9, 13), torch.ones(1, 6)).shape == (1, 3, 9, 13)


def test_painting_and_restyling_are_not_taken_for_each_other(brush, pond):
    with pytest.raises(ModelError, match="'brush' restyles pictures and cannot paint new ones"):
        registry.open_model("brush")
    with pytest.raises(ModelError, match="'pond' paints pictures and cannot restyle yours"):
        registry.open_stylizer("pond")


def test_one_folder_may_paint_and_restyle(brush):
    registry.save_network(brush / registry.GENERATOR, BigGAN(PAINTING))
    registry.write_sums(brush)
    assert registry.open_model("brush").audio_encoder.config == HEARING
    assert registry.open_stylizer("brush").audio_encoder.config == HEARING
    checks = verification.verify("brush")
    assert len(checks) == 3 + 3 + 2  # hashes, networks, one picture restyled and one painted
    assert all(check.ok for check in checks), checks


def test_a_stylizer_passes_every_check(brush):
    checks = verification.verify("brush")
    assert [check.what for check in checks if not check.ok] == []
    assert checks[-1].what == "a sound restyles a picture, and it stays finite"
    assert len(checks) == 2 + 2 + 1


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda f: (f / registry.AUDIO_ENCODER).unlink(), "is missing: the model is incomplete"),
        (
            lambda f: (f / registry.AUDIO_ENCODER).write_bytes(
                (f / registry.STYLIZER).read_bytes()
            ),
            "audio_encoder.safetensors holds another network",
        ),
        (
            lambda f: (f / registry.STYLIZER).write_bytes(
                (f / registry.AUDIO_ENCODER).read_bytes()
            ),
            "stylizer.safetensors holds another network",
        ),
        (
            lambda f: rewrite(f / registry.STYLIZER, **{"to_rgb.bias": None}),
            "it lacks to_rgb.bias; fetch",
        ),
        (
            lambda f: registry.save_network(
                f / registry.STYLIZER, Stylizer(StylizerConfig(7, (4, 4, 4), 2, (4, 4)))
            ),
            "mixes networks for features of length 6 and 7",
        ),
    ],
)
def test_a_broken_stylizer_is_refused_in_one_sentence(brush, damage, sentence):
    damage(brush)
    with pytest.raises(ModelError) as stop:
        registry.open_stylizer("brush")
    assert sentence in str(stop.value)
    assert str(brush) in str(stop.value)
    assert not all(check.ok for check in verification.verify("brush"))


# Models that judge pictures


@pytest.fixture
def bench(home) -> Path:
    """A model of one tiny judge of three scenes."""
    torch.manual_seed(0)
    folder = home / "bench"
    registry.save_network(
        folder / registry.JUDGE, Judge(JudgeConfig(("sea", "fire", "snow"), TINY, picture_px=32))
    )
    registry.write_sums(folder)
    return folder


def test_a_judge_comes_back_from_its_file_with_the_same_verdicts(bench):
    torch.manual_seed(0)
    written = Judge(JudgeConfig(("sea", "fire", "snow"), TINY, picture_px=32)).eval()
    judge = registry.open_judge("bench")
    assert judge.config == written.config
    picture = torch.rand(2, 3, 50, 40) * 2 - 1
    assert torch.allclose(judge(picture), written(picture), atol=1e-6)


def test_a_judge_passes_every_check(bench):
    checks = verification.verify("bench")
    assert [check.what for check in checks if not check.ok] == []
    assert checks[-1].what == "a picture is judged, and every number is finite"
    assert len(checks) == 1 + 1 + 1


def test_a_judge_that_knows_no_number_fails_its_check(bench):
    judge = registry.open_judge("bench")
    judge.trunk.bn1.running_var.fill_(-1.0)  # finite itself, but not its root
    registry.save_network(bench / registry.JUDGE, judge)
    registry.write_sums(bench)
    assert [check.fault for check in verification.verify("bench")] == [
        "", "", "some of its logits are not finite",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("opened", "cannot"),
    [(registry.open_model, "paint new ones"), (registry.open_stylizer, "restyle yours")],
)
def test_a_judge_neither_paints_nor_restyles(bench, opened, cannot):
    with pytest.raises(ModelError) as stop:
        opened("bench")
    assert str(stop.value) == (
        f"The model 'bench' judges pictures and cannot {cannot}: name another with --model."
    )


def test_what_paints_or_restyles_is_no_judge(pond, brush):
    with pytest.raises(ModelError, match="'pond' paints pictures and cannot judge any"):
        registry.open_judge("pond")
    with pytest.raises(ModelError, match="'brush' restyles pictures and cannot judge any"):
        registry.open_judge("brush")
    (brush / registry.GENERATOR).write_bytes((pond / registry.GENERATOR).read_bytes())
    with pytest.raises(ModelError, match="'brush' paints and restyles pictures and cannot judge"):
        registry.open_judge("brush")


def test_another_network_in_the_judges_place_is_refused(bench, pond):
    (bench / registry.JUDGE).write_bytes((pond / registry.IMAGE_ENCODER).read_bytes())
    with pytest.raises(ModelError, match=r"judge\.safetensors holds another network"):
        registry.open_judge("bench")


def test_a_judge_of_no_scene_cannot_be_built(bench):
    rewrite(bench / registry.JUDGE, config={"scenes": ["sea", "sea"]})
    with pytest.raises(ModelError, match="cannot be built: scenes must be at least two different"):
        registry.open_judge("bench")
