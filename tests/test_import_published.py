"""The authors' files, in the authors' layouts, become a model; a pickle never runs anything."""

import argparse
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_weights import fill, vectors, weights
from torch import Tensor

from s2s_cli import imports, registry
from s2s_cli.audio.spectrogram import magnitude
from s2s_cli.errors import ModelError
from s2s_cli.imports import import_avstyle, import_sound2scene
from s2s_cli.networks.biggan import BigGAN, BigGANConfig
from s2s_cli.networks.stylizer import StylizerConfig

# IC-GAN's settings for a generator of 64 px that is tiny, and what we should make of them.
SMALL: dict[str, Any] = {
    "resolution": 64,
    "G_ch": 1,
    "dim_z": 12,  # 5 slots of 2
    "shared_dim_feat": 4,
    "G_attn": "0",
    "SN_eps": 1e-6,
    "ema": True,
    "use_ema": True,
    "instance_cond": True,
    "class_cond": False,
    "experiment_name": "tiny",
}
SMALL_CONFIG = BigGANConfig(
    channels=1, multipliers=(16, 16, 8, 4, 2), attention_px=(0,), slot=2, condition=4
)


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """The user's folder of models."""
    monkeypatch.setenv("S2S_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models"


def icgan_state(config: BigGANConfig, bias: float) -> dict[str, Tensor]:
    """A checkpoint of IC-GAN for a config; ``bias`` of its output tells one from another."""
    state = {}
    for key, tensor in BigGAN(config).state_dict().items():
        state[key] = fill(key, list(tensor.shape), "float32")
        if key.endswith("weight"):
            normed = key.removesuffix(".weight")
            state[f"{normed}.u0"] = fill(f"{normed}.u0", [1, len(tensor)], "float32")
            state[f"{normed}.sv0"] = torch.ones(1)
    state["shared.weight"] = torch.ones(1000, 8)
    state["output_layer.2.bias"] = torch.full((3,), bias)
    return state


def icgan_folder(folder: Path, fids: dict[str, Any], **settings: Any) -> Path:
    """IC-GAN's layout: G and G_ema of each ``best`` differ by their output's bias."""
    folder.mkdir()
    for best, fid in fids.items():
        number = int(best[-1])
        scores = {"itr": 9, "epoch": 3, "best_IS": np.float32(50), "best_FID": fid}
        state = {**scores, "config": {**SMALL, **settings}}
        torch.save(state, folder / f"state_dict_{best}.pth")
        torch.save(icgan_state(SMALL_CONFIG, number), folder / f"G_{best}.pth")
        torch.save(icgan_state(SMALL_CONFIG, number + 0.5), folder / f"G_ema_{best}.pth")
    return folder


def bias_of(folder: Path) -> float:
    """Which checkpoint was read."""
    generator, path = imports.read_generator(folder)
    assert path.parent == folder
    return float(generator.state_dict()["output_layer.2.bias"][0])


def test_the_published_files_paint_what_the_authors_code_paints(s2s, models, low_wav, tmp_path):
    """The files are written as the authors write them, from weights that anyone can rebuild."""
    audio, image, icgan = (tmp_path / n for n in ("sound2scene.pth", "swav.pth.tar", "icgan"))
    parallel = {f"module.{k}": v for k, v in weights("sound2scene_audio_encoder").items()}
    torch.save(parallel, audio)
    swav = {f"module.{k}": v for k, v in weights("swav_resnet50_trunk").items()}
    swav["module.projection_head.0.weight"] = torch.ones(2, 2)
    swav["module.prototypes.weight"] = torch.ones(2, 2)
    torch.save(swav, image)
    icgan.mkdir()
    for best, fid in (("best0", 20.5), ("best1", np.float64(11.7))):
        torch.save({"best_FID": fid, "config": {}}, icgan / f"state_dict_{best}.pth")
    torch.save({}, icgan / "G_ema_best0.pth")  # the worse one need not even be readable
    torch.save(weights("icgan_biggan_imagenet_res128"), icgan / "G_ema_best1.pth")

    said = s2s(
        "models", "import", "sound2scene", "--audio", audio, "--image", image,
        "--generator", icgan, "--name", "paper",
    )  # fmt: skip
    folder = models / "paper"
    assert (said.code, said.lines) == (0, [str(folder)])
    assert s2s("generate", low_wav, "-m", "paper", "-o", tmp_path / "low.png").code == 0

    assert folder == registry.find("paper")
    assert [path.name for path in models.iterdir()] == ["paper"]  # nothing half-made beside it
    assert "G_ema_best1.pth" in (folder / registry.CARD).read_text()
    model = registry.open_model("paper")
    with torch.inference_mode():
        golden = vectors("icgan_biggan_imagenet_res128")
        painted = model.generator.paint(golden["z"], golden["features"])
        assert_agrees(painted, golden["image"], rounded=True)
        clip = vectors("sound2scene_spectrogram")["spec_clip"][None]
        heard = vectors("sound2scene_audio_encoder")["embedding"]
        assert_agrees(model.audio_encoder(clip), heard)
        assert model.image_encoder is not None
        golden = vectors("swav_resnet50_trunk")
        seen = model.image_encoder.trunk(golden["image"])
        assert_agrees(seen, golden["features"])
        assert torch.equal(model.image_encoder.feature_std, torch.ones(2048))


def assert_agrees(ours: Tensor, golden: Tensor, rounded: bool = False) -> None:
    """Within 1e-4 of the golden deviation, and the rounding of what is stored as float16."""
    allowed = 1e-4 * golden.std() + (2**-11 * golden.abs() if rounded else 0)
    assert ((ours - golden).abs() <= allowed).all()


@pytest.mark.parametrize(
    ("fids", "settings", "expected"),
    [
        ({"best0": 12.0, "best1": 15.0}, {}, 0.5),
        ({"best0": np.float64(15), "best1": np.float32(12)}, {}, 1.5),
        ({"best0": torch.tensor(15.0), "best1": 12}, {}, 1.5),
        ({"best1": 999.0}, {}, 1.5),
        ({"best0": float("nan"), "best1": 12.0}, {}, 1.5),
        ({"best0": 12.0, "best1": 15.0}, {"use_ema": False}, 0.0),
        ({"best0": 12.0, "best1": 15.0}, {"ema": False}, 0.0),
    ],
)
def test_the_checkpoint_with_the_lower_fid_is_read(tmp_path, fids, settings, expected):
    assert bias_of(icgan_folder(tmp_path / "icgan", fids, **settings)) == expected


def test_without_averaged_weights_the_plain_ones_are_read(tmp_path):
    folder = icgan_folder(tmp_path / "icgan", {"best0": 12.0})
    (folder / "G_ema_best0.pth").unlink()
    assert bias_of(folder) == 0.0


def test_the_checkpoints_own_config_decides(tmp_path):
    folder = icgan_folder(tmp_path / "icgan", {"best0": 12.0})
    generator, _ = imports.read_generator(folder)
    assert generator.config == SMALL_CONFIG
    assert (generator.picture_px, generator.config.dim_z) == (64, 10)


def test_the_256_config_splits_its_noise_as_the_authors_do():
    settings = {**imports.ICGAN_DEFAULTS, "resolution": 256}
    config = imports.generator_config(settings, Path("icgan"))
    assert (config.picture_px, config.slot, config.dim_z) == (256, 17, 119)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"class_cond": True}, "its class_cond is True, but only False can be imported"),
        ({"hier": False}, "its hier is False"),
        ({"resolution": 100}, "100 px is none of 64, 128, 256"),
        ({"resolution": [1]}, "settings that cannot be imported"),
        ({"G_ch": "wide"}, "settings that cannot be imported"),
        ({"G_ch": 2}, "does not fit its network"),
        ({"SN_eps": "small"}, "no spectral norm that fits"),
    ],
)
def test_a_generator_that_is_not_the_papers_is_refused(tmp_path, settings, sentence):
    folder = icgan_folder(tmp_path / "icgan", {"best0": 12.0}, **settings)
    with pytest.raises(ModelError) as stop:
        imports.read_generator(folder)
    assert sentence in str(stop.value)
    assert str(folder) in str(stop.value)


class Evil:
    """Unpickling it runs a shell command."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize(
    "read",
    [
        imports.read_audio_encoder,
        imports.read_image_encoder,
        lambda path: imports.read_generator(path.parent),
        imports.read_stylizer,
        imports.read_style_audio_encoder,
    ],
    ids=["audio", "image", "generator", "stylizer", "style audio"],
)
def test_a_malicious_pickle_is_refused_and_nothing_of_it_runs(tmp_path, read, zipped):
    mark, path = tmp_path / "it_ran", tmp_path / "state_dict_best0.pth"
    pickle.loads(pickle.dumps(Evil(mark)))
    assert mark.exists()  # so read carelessly, it would run
    mark.unlink()

    evil = {"conv1.weight": torch.ones(1), "best_FID": 1.0, "config": Evil(mark)}
    torch.save(evil, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError) as stop:
        read(path)
    assert not mark.exists()
    assert str(stop.value) == (
        f"{path} is refused, and nothing of it was run: beside tensors it holds posix.system; "
        "export its state dict alone."
    )


def test_a_plain_malicious_pickle_is_refused_too(tmp_path):
    mark, path = tmp_path / "it_ran", tmp_path / "sound2scene.pth"
    path.write_bytes(pickle.dumps(Evil(mark), protocol=2))
    with pytest.raises(ModelError, match=str(path)):
        imports.read_audio_encoder(path)
    assert not mark.exists()


def test_an_object_beside_the_tensors_is_named(tmp_path):
    path = tmp_path / "sound2scene.pth"
    torch.save({"state_dict": {}, "args": argparse.Namespace(), "fid": np.float64(1)}, path)
    with pytest.raises(ModelError, match=r"it holds argparse\.Namespace; export"):
        imports.read_audio_encoder(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "does not exist"),
        (b"", "is not a whole PyTorch checkpoint"),
        (b"hello, I am a text", "is not a whole PyTorch checkpoint"),
        ("half", "is not a whole PyTorch checkpoint"),
        ([1, 2], "holds no state dict"),
        ({}, "holds no state dict"),
        ({"epoch": 3}, "holds more than named tensors"),
        ({"audnet.conv1.weight": torch.ones(2)}, "does not fit its network: it lacks"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "sound2scene.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "half":
        torch.save({"a": torch.ones(1000)}, path)
        path.write_bytes(path.read_bytes()[:2000])
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ModelError) as stop:
        imports.read_audio_encoder(path)
    assert str(path) in str(stop.value)
    assert sentence in str(stop.value)
    assert "\n" not in str(stop.value)


def test_a_folder_without_checkpoints_says_what_it_should_hold(tmp_path):
    with pytest.raises(ModelError, match=r"neither state_dict_best0\.pth nor"):
        imports.read_generator(tmp_path)


def test_a_failed_import_leaves_nothing_behind(models, tmp_path):
    missing = tmp_path / "missing.pth"
    with pytest.raises(ModelError, match=r"missing\.pth does not exist"):
        import_sound2scene(missing, missing, tmp_path, "paper")
    assert list(models.iterdir()) == []


@pytest.mark.parametrize("name", ["", "..", "../up", "a/b", "Big", ".hidden", "a b"])
def test_a_name_that_would_lead_elsewhere_is_refused(models, tmp_path, name):
    with pytest.raises(ModelError, match="cannot name a model"):
        import_sound2scene(tmp_path, tmp_path, tmp_path, name)
    assert not models.exists()


def test_a_model_that_exists_is_replaced_only_by_force(models):
    (models / "paper").mkdir(parents=True)
    (models / "paper" / "mine").touch()
    with (
        pytest.raises(ModelError, match="exists: choose another name, or replace it with --force"),
        imports.new_model("paper", force=False),
    ):
        pass
    assert (models / "paper" / "mine").exists()
    with imports.new_model("paper", force=True) as folder:
        (folder / "new").touch()
    assert [path.name for path in (models / "paper").iterdir()] == ["new"]
    assert [path.name for path in models.iterdir()] == ["paper"]


# avstyle


def avstyle_state(name: str) -> dict[str, Tensor]:
    """A bare state dict as avstyle saves it, with its fixed kernels, which we do not read."""
    return {
        key: torch.full_like(tensor, 7) if key.endswith(".filt") or "stft." in key else tensor
        for key, tensor in weights(name).items()
    }


def small_stylizer(features: int = 4, blocks: int = 3, width: int = 2) -> dict[str, Tensor]:
    """avstyle's layout at other sizes; a stylizer of no features is CUT's generator."""
    shapes = {
        "model_down.1": (width, 3, 7, 7),
        "model_down.4": (2 * width, width, 3, 3),
        "model_down.8": (4 * width, 2 * width, 3, 3),
        "model_up.1": (4 * width, 4 * width + features, 3, 3),
        "model_up.5": (2 * width, 4 * width, 3, 3),
        "model_up.9": (3, 2 * width, 7, 7),
    }
    for block in range(12, 12 + blocks):
        for layer in (1, 5):
            shapes[f"model_down.{block}.conv_block.{layer}"] = (4 * width, 4 * width, 3, 3)
    state = {"model_down.7.filt": torch.ones(2 * width, 1, 3, 3)}
    for layer, shape in shapes.items():
        state[f"{layer}.weight"] = fill(f"{layer}.weight", list(shape), "float32")
        state[f"{layer}.bias"] = fill(f"{layer}.bias", [shape[0]], "float32")
    return state


def in_one_row(state: dict[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """The same layers numbered from the first to the last, as CUT does."""
    row = {}
    for key, tensor in state.items():
        part, number, rest = key.split(".", 2)
        place = int(number) + (12 + blocks if part == "model_up" else 0)
        row[f"model.{place}.{rest}"] = tensor
    return row


def test_the_published_pair_restyles_what_the_authors_code_restyles(s2s, models, tmp_path):
    generator, audio = tmp_path / "latest_net_G.pth", tmp_path / "latest_net_Audio.pth"
    torch.save(avstyle_state("avstyle_generator"), generator)
    torch.save(avstyle_state("avstyle_audio_encoder"), audio)

    said = s2s("models", "import", "avstyle", generator, audio)
    folder = models / "avstyle"
    assert (said.code, said.lines) == (0, [str(folder)])
    assert [path.name for path in models.iterdir()] == ["avstyle"]
    card = (folder / registry.CARD).read_text()
    assert f"| stylizer | `latest_net_G.pth` | `{registry.sha256(generator)}` |" in card

    model = registry.open_stylizer("avstyle")
    heard, golden = vectors("avstyle_audio_encoder"), vectors("avstyle_generator")
    with torch.inference_mode():
        feature = model.audio_encoder(magnitude(heard["wav"][None]))
        restyled = model.stylizer(golden["image"], feature)
    assert_agrees(feature, heard["embedding"])
    assert_agrees(restyled, golden["stylized"], rounded=True)
    assert model.audio_encoder.config.peak == pytest.approx(1 / 1.1)


def test_sizes_follow_from_the_tensors_and_one_row_is_as_good_as_two(tmp_path):
    two, one = tmp_path / "two_net_G.pth", tmp_path / "one_net_G.pth"
    torch.save(small_stylizer(), two)
    torch.save({f"module.{k}": v for k, v in in_one_row(small_stylizer(), 3).items()}, one)
    stylizer = imports.read_stylizer(two)
    assert stylizer.config == StylizerConfig(features=4, down=(2, 4, 8), blocks=3, up=(8, 4))
    again = imports.read_stylizer(one)
    assert again.config == stylizer.config
    for key, tensor in stylizer.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (small_stylizer(features=0), "hears nothing, such as CUT's"),
        (in_one_row(small_stylizer(features=0), 3), "hears nothing, such as CUT's"),
        ({"AudioInconv.0.weight": torch.ones(1)}, "should be the file that ends in _net_G.pth"),
        ({"model_down.1.weight": torch.tensor(1.0)}, "should be the file that ends in _net_G.pth"),
        ({"model.x.weight": torch.ones(1)}, "should be the file that ends in _net_G.pth"),
        ({**small_stylizer(), "model_up.1.bias": torch.ones(1)}, "it misshapes grow1.conv.bias"),
        ({**small_stylizer(), "more.weight": torch.ones(1)}, "does not belong in it: more.weight"),
        ({**small_stylizer(), "model_up.1.bias": torch.full((8,), torch.nan)}, "is not finite"),
    ],
)
def test_a_generator_that_is_not_avstyles_is_one_sentence(tmp_path, state, sentence):
    path = tmp_path / "latest_net_G.pth"
    torch.save(state, path)
    with pytest.raises(ModelError) as stop:
        imports.read_stylizer(path)
    assert sentence in str(stop.value)
    assert str(path) in str(stop.value)
    assert "\n" not in str(stop.value)


def test_sizes_that_a_file_only_claims_cost_no_memory(tmp_path):
    """Stored with stride 0, a tensor of any size is a few bytes of file."""
    path = tmp_path / "latest_net_G.pth"
    state = small_stylizer()
    state["model_down.8.weight"] = torch.zeros(1).expand(10**7, 4, 3, 3)
    state["model_up.1.weight"] = torch.zeros(1).expand(8, 10**7 + 4, 3, 3)
    torch.save(state, path)
    assert path.stat().st_size < 100_000
    with pytest.raises(ModelError, match="misshapes"):
        imports.read_stylizer(path)


def test_files_of_two_trainings_are_no_pair(models, tmp_path):
    generator, audio = tmp_path / "latest_net_G.pth", tmp_path / "latest_net_Audio.pth"
    torch.save(small_stylizer(), generator)
    torch.save(avstyle_state("avstyle_audio_encoder"), audio)
    with pytest.raises(ModelError, match=r"features of length 4 and .* gives 256: name"):
        import_avstyle(generator, audio, "paper")
    with pytest.raises(ModelError, match="should be the file that ends in _net_G"):
        import_avstyle(audio, generator, "paper")
    assert list(models.iterdir()) == []
