"""A sample in a shard is read back by others as it went in, and its bytes say nothing else."""

import io
import tarfile

import numpy as np
import soundfile
from PIL import Image
from videos import barcode, number_of

from s2s_cli.data.samples import SAMPLE_RATE, SHARD_END, sample_files, to_pcm


def test_tarfile_pillow_and_soundfile_read_what_went_in():
    wave = np.random.default_rng(0).integers(-32768, 32768, 5000).astype(np.int16)
    name = "scene/" + "a-long-name" * 20 + "-0000"
    shard = sample_files(name, wave, [barcode(5), barcode(9)]) + SHARD_END
    with tarfile.open(fileobj=io.BytesIO(shard)) as archive:
        files = {entry.name: archive.extractfile(entry).read() for entry in archive}
        entry = archive.getmember(f"{name}.0.jpg")
        assert (entry.mtime, entry.uid, entry.uname, entry.mode) == (0, 0, "", 0o644)
    assert list(files) == [f"{name}.flac", f"{name}.0.jpg", f"{name}.1.jpg"]
    sound, rate = soundfile.read(io.BytesIO(files[f"{name}.flac"]), dtype="int16")
    assert (rate, SAMPLE_RATE) == (16_000, 16_000)
    assert np.array_equal(sound, wave)
    frames = [Image.open(io.BytesIO(files[f"{name}.{n}.jpg"])) for n in (0, 1)]
    assert [number_of(np.asarray(frame)) for frame in frames] == [5, 9]
    assert [frame.format for frame in frames] == ["JPEG", "JPEG"]


def test_the_same_sample_is_the_same_bytes_and_samples_can_be_joined():
    wave = np.arange(1000, dtype=np.int16)
    one = sample_files("a/b-0000", wave, [barcode(1)])
    assert one == sample_files("a/b-0000", wave, [barcode(1)])
    two = sample_files("a/b-0001", -wave, [barcode(2)])
    with tarfile.open(fileobj=io.BytesIO(one + two + SHARD_END)) as archive:
        assert archive.getnames() == [
            "a/b-0000.flac", "a/b-0000.0.jpg", "a/b-0001.flac", "a/b-0001.0.jpg",
        ]  # fmt: skip


def test_a_wave_is_rounded_and_clipped_at_full_scale():
    wave = np.array([0, 1 / 32768, 0.6 / 32768, -1, 1, 3, -3], np.float32)
    assert to_pcm(wave).tolist() == [0, 1, 1, -32768, 32767, 32767, -32768]
    assert to_pcm(wave).dtype == np.int16
