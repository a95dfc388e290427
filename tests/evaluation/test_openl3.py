"""OpenL3 hears and sees what Keras computes of its files, window by window."""

import math
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from golden_weights import fill, vectors, weights

from s2s_cli.errors import ModelError
from s2s_cli.evaluation.openl3 import OpenL3, middle, windows_of
from s2s_cli.evaluation.weights import OPENL3_FILES, keras_layers, open_openl3
from s2s_cli.networks.openl3 import SAMPLE_RATE, spectrogram

KERAS = {"running_mean": "moving_mean", "running_var": "moving_variance"}


def drawn(key: str, *shape: int) -> torch.Tensor:
    """Normal numbers."""
    return fill(key, [math.prod(shape)], "float32").reshape(shape)


INPUTS = {
    "hearing": -80 * drawn("spectrogram", 1, 1, 257, 197).tanh().abs(),
    "sight": drawn("picture", 1, 3, 224, 224).tanh(),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Both files, as Keras 2 wrote them, with seeded weights."""
    top = tmp_path_factory.mktemp("openl3")
    for sense, name in OPENL3_FILES.items():
        with h5py.File(top / name, "w") as file:
            write_keras(file, sense)
    return top


def write_keras(group: h5py.Group, sense: str) -> None:
    """Layers in the order of the network, those without weights too; norms before convolutions."""
    layers: dict[str, dict[str, np.ndarray]] = {"input_1": {}}
    for key, tensor in weights("openl3").items():
        stream, kind, number, name = key.split(".")
        if stream != sense:
            continue
        if kind == "convs":
            layer = f"conv2d_{number}"
            name = {"weight": "kernel"}.get(name, name)
        else:
            layer = f"batch_normalization_{number}"
            name = KERAS.get(name, {"weight": "gamma", "bias": "beta"}.get(name))
        array = tensor.permute(2, 3, 1, 0) if tensor.ndim == 4 else tensor
        layers.setdefault(layer, {})[name] = array.numpy()
    order = ["input_1"]
    for number in range(8):
        order += [f"batch_normalization_{number}", f"conv2d_{number}", f"activation_{number}"]
    group.attrs["layer_names"] = [layer.encode() for layer in order]
    for layer in order:
        arrays = layers.get(layer, {})
        names = [f"{layer}/{name}:0" for name in arrays]
        own = group.create_group(layer)
        own.attrs["weight_names"] = [name.encode() for name in names]
        for name, array in zip(names, arrays.values(), strict=True):
            own[name] = array


@pytest.mark.parametrize("sense", ["hearing", "sight"])
def test_it_computes_what_keras_computes(folder, sense):
    golden = vectors("openl3")[sense]
    with torch.inference_mode():
        features = open_openl3(sense, folder)(INPUTS[sense])
    assert features.shape == golden.shape == (1, 512)
    assert (features - golden).abs().max() < 1e-4 * golden.std()


def test_a_whole_model_is_read_as_its_weights_are(folder, tmp_path):
    with h5py.File(tmp_path / "whole.h5", "w") as file:
        write_keras(file.create_group("model_weights"), "hearing")
    whole = keras_layers(tmp_path / "whole.h5")
    alone = keras_layers(folder / OPENL3_FILES["hearing"])
    assert len(whole) == len(alone) == 16
    assert all(torch.equal(w[n], a[n]) for w, a in zip(whole, alone, strict=True) for n in a)


def test_the_file_of_the_other_sense_is_refused_in_one_sentence(folder, tmp_path):
    (tmp_path / OPENL3_FILES["sight"]).symlink_to(folder / OPENL3_FILES["hearing"])
    with pytest.raises(
        ModelError, match=r"does not fit its network: it misshapes convs\.0\.weight"
    ):
        open_openl3("sight", tmp_path)


def test_a_missing_file_says_who_publishes_it(tmp_path):
    with pytest.raises(ModelError) as stop:
        OpenL3(tmp_path)
    assert str(tmp_path / "openl3_audio_linear_env.h5") in str(stop.value)
    assert "github.com/marl/openl3" in str(stop.value)


@pytest.mark.parametrize("content", [b"<html>", b""])
def test_a_file_that_is_none_of_keras_is_refused_in_one_sentence(tmp_path, content):
    (tmp_path / OPENL3_FILES["hearing"]).write_bytes(content)
    with pytest.raises(ModelError, match="is no whole file of Keras weights"):
        open_openl3("hearing", tmp_path)


def test_a_file_of_another_program_is_refused_in_one_sentence(tmp_path):
    with h5py.File(tmp_path / OPENL3_FILES["hearing"], "w") as file:
        file["table"] = [1, 2]
    with pytest.raises(ModelError, match="is no whole file of Keras weights"):
        open_openl3("hearing", tmp_path)


def test_openl3_without_its_library_is_one_sentence(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ModelError, match=r"pip install 's2s-cli\[eval\]'"):
        OpenL3(folder)


# What it is given


def sine(cycles_per_frame: int, amplitude: float = 1.0) -> torch.Tensor:
    """One second with whole cycles in the 512 samples of a frame."""
    return amplitude * torch.sin(2 * math.pi * cycles_per_frame * torch.arange(SAMPLE_RATE) / 512)


def test_levels_are_tenfold_logarithms_of_amplitudes_below_the_loudest():
    levels = spectrogram((sine(20) + sine(100, amplitude=0.1))[None])
    assert levels.shape == (1, 1, 257, 197)
    assert levels.max() == 0
    assert levels[0, 0, 20, 50] == pytest.approx(0, abs=0.01)
    assert levels[0, 0, 100, 50] == pytest.approx(-10, abs=0.01)  # of 20 log10 it would be -20
    assert levels[0, 0, 200].max() < -40


def test_levels_do_not_go_below_80_db():
    click = torch.zeros(1, SAMPLE_RATE)
    click[0, 100] = 1
    levels = spectrogram(click)
    assert levels.min() == -80
    assert levels[..., 100:].max() == -80  # where there is silence


def test_each_window_has_a_loudest_of_its_own():
    loud, soft = spectrogram(torch.stack([sine(20), sine(20, amplitude=0.01)]))
    assert loud[0, 20] == pytest.approx(soft[0, 20], abs=1e-3)


@pytest.mark.parametrize(
    ("seconds", "windows"),
    [(0.2, 1), (0.5, 1), (0.55, 2), (1.0, 6), (3.0, 26)],
)
def test_windows_begin_half_a_second_early_and_reach_the_end(seconds, windows):
    samples = round(seconds * SAMPLE_RATE)
    wave = np.arange(1, samples + 1, dtype=np.float32)
    cut = windows_of(wave, hop=4800)
    assert cut.shape == (windows, SAMPLE_RATE)
    assert (cut[0, :24_000] == 0).all()
    assert cut[0, 24_000] == 1
    assert cut.max() == samples  # the last sample is heard
    assert (cut[1:, :-4800] == cut[:-1, 4800:]).all()


def test_a_sound_is_the_mean_of_its_windows(folder):
    ears = OpenL3(folder)
    wave = sine(20)[:36_000].numpy() * np.linspace(0, 1, 36_000, dtype=np.float32)
    heard = ears.hear(wave, SAMPLE_RATE, hop_seconds=0.25)
    padded = torch.cat([torch.zeros(24_000), torch.from_numpy(wave)])  # 1.25 s: two windows
    windows = torch.stack([padded[:48_000], padded[12_000:]])
    with torch.inference_mode():
        one, other = ears.hearing(spectrogram(windows))
    assert heard.shape == (512,)
    assert heard == pytest.approx((one + other) / 2, abs=1e-4)


def test_a_sound_keeps_its_pitch_at_every_rate(folder):
    ears = OpenL3(folder)
    ears.hearing = lambda levels: levels[:, 0, :, 150:].mean(dim=2)  # of each frequency
    wave = sine(20)[:24_000].numpy()
    assert ears.hear(wave, 48_000).argmax() == 20
    assert ears.hear(wave[::2].copy(), 24_000).argmax() == 20


def test_a_picture_is_seen_by_its_middle_at_a_fixed_scale():
    exact = drawn("picture", 1, 3, 224, 224)
    assert torch.equal(middle(exact), exact)
    # A bar of one eighth of the height in the middle of a wide picture stays 32 of 256 px.
    wide = -torch.ones(1, 3, 64, 200)
    wide[..., 28:36, :] = 1
    seen = middle(wide)
    assert seen.shape == (1, 3, 224, 224)
    assert (seen[0, 0, :, 100] > 0).sum() == 32
    assert seen[0, 0, 112, 100] == 1
    sides = torch.linspace(-1, 1, 200).expand(1, 3, 64, 200)
    assert middle(sides)[0, 0, 100].mean() == pytest.approx(0, abs=1e-3)


def test_a_picture_has_one_feature(folder):
    picture = drawn("picture", 3, 100, 80).tanh()
    eye = OpenL3(folder)
    seen = eye.see(picture)
    assert seen.shape == (512,)
    with torch.inference_mode():
        assert torch.equal(seen, eye.sight(middle(picture[None]))[0])
