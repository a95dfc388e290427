"""What people are shown is what the models really paint, and no more than they hear."""

from collections import Counter

import numpy as np
import pytest
import soundfile
import torch
from conftest import RATE, photos_of, sounds_of, tone

from s2s_cli.errors import DataError, SoundError
from s2s_cli.evaluation.exhibits import by_photo, by_sound, painted, sounds_of_folder, spread
from s2s_cli.studio import Studio

SCENES = ("sea", "sea", "sea", "sea", "rain", "rain", "fire")


def test_scenes_take_turns_whatever_their_size():
    for seed in range(5):
        drawn = spread(SCENES, 5, seed)
        assert len(set(drawn)) == 5
        assert sorted(SCENES[number] for number in drawn[:3]) == ["fire", "rain", "sea"]
        assert sorted(SCENES[number] for number in drawn[3:]) == ["rain", "sea"]
    assert sorted(spread(SCENES, 100, 0)) == list(range(7))


def test_sounds_and_scenes_are_drawn_by_the_seed():
    assert spread(SCENES, 7, 1) == spread(SCENES, 7, 1)
    first = Counter(spread(SCENES, 1, seed)[0] for seed in range(60))
    assert len(first) > 4  # no scene, and no sound of one, always comes first


def test_own_sounds_are_those_of_the_files(tmp_path):
    kept = np.random.default_rng(0).integers(-32_768, 32_767, RATE, np.int16)
    for name in ("sea/a.wav", "sea/deep/b.wav", "fire/c.wav", ".hidden/d.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        soundfile.write(tmp_path / name, kept, RATE)
    sounds = sounds_of_folder(tmp_path, RATE, seconds=0.5)
    assert sounds.keys == ("fire/c.wav", "sea/a.wav", "sea/deep/b.wav")
    assert sounds.scenes == ("fire", "sea", "sea")
    assert torch.equal(sounds.take([1])[0], torch.from_numpy(kept[: RATE // 2]))


def test_a_sound_beyond_full_scale_is_turned_down_and_not_cut(tmp_path):
    (tmp_path / "sea").mkdir()
    soundfile.write(tmp_path / "sea" / "a.wav", 6 * tone(440, 0.5), RATE, subtype="FLOAT")
    (wave,) = sounds_of_folder(tmp_path, RATE, seconds=1).take([0])
    wanted = tone(440, 0.5)
    found = wave.double().numpy() / 32_768
    assert np.abs(found - wanted / np.abs(wanted).max()).max() < 1e-4


def test_folders_without_scenes_are_a_sentence(tmp_path):
    with pytest.raises(DataError, match="There is no folder"):
        sounds_of_folder(tmp_path / "none", RATE, 1)
    with pytest.raises(SoundError, match="holds no sounds"):
        sounds_of_folder(tmp_path, RATE, 1)
    soundfile.write(tmp_path / "a.wav", tone(440, 0.1), RATE)
    with pytest.raises(DataError, match="lies in no scene's folder: move it to"):
        sounds_of_folder(tmp_path, RATE, 1)


def int16(wave: np.ndarray) -> torch.Tensor:
    return torch.from_numpy((wave * 32_767).astype(np.int16))


def test_methods_share_the_seed_of_a_sound_and_sounds_do_not():
    told = []

    def method(number, seed):
        told.append((number, seed))
        return np.zeros((4, 4, 3), np.uint8)

    sounds = sounds_of(["a/0", "b/1", "c/2"], [int16(tone(440, 1))] * 3)
    clips = list(painted(sounds, [2, 0], {"one": method, "two": method}, 0.25, seed=2**32 - 1))
    assert told == [(2, 2**32 - 1), (2, 2**32 - 1), (0, 0), (0, 0)]
    assert [(clip.name, clip.scene, len(clip.wave)) for clip in clips] == [
        ("c/2", "c", RATE // 4),  # no more than models hear
        ("a/0", "a", RATE // 4),
    ]
    assert all(list(clip.pictures) == ["one", "two"] for clip in clips)


def test_pictures_are_those_of_the_sound_and_of_a_photo_of_its_scene(tiny_model):
    studio = Studio.open(tiny_model, "cpu")
    waves = [int16(tone(hertz, 0.5)) for hertz in (200, 3000)]
    sounds = sounds_of(["sea/0", "fire/1"], waves)
    chance = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (5, 3, 32, 32), generator=chance, dtype=torch.uint8)
    photos = photos_of(["fire/0", "fire/1", "sea/2", "sea/3", "dog/4"], pixels)

    def seen(place):
        return studio.paint(studio.feature_of_picture(pixels[place].permute(1, 2, 0).numpy()), 7)

    heard = studio.feature_of(waves[1].numpy() / np.float32(32_768))
    assert np.array_equal(by_sound(studio, sounds)(1, 7), studio.paint(heard, 7))
    for seed in range(4):
        paint = by_photo(studio, sounds, photos, seed)
        assert any(np.array_equal(paint(1, 7), seen(place)) for place in (0, 1))
        assert any(np.array_equal(paint(0, 7), seen(place)) for place in (2, 3))
    with pytest.raises(DataError, match="no validation photos of rain to paint from"):
        by_photo(studio, sounds_of(["rain/0"], waves[:1]), photos, 0)
