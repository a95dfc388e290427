"""Augmentations do what they say, and only by the chance they are given."""

import pytest
import torch

from s2s_cli.chance import Chance
from s2s_cli.training.augmentation import (
    random_crops,
    random_equaliser,
    random_masks,
    random_views,
    random_windows,
)

PHOTOS = torch.randint(0, 256, (4, 3, 40, 40), generator=torch.Generator().manual_seed(0)).byte()


def chance(seed: int = 0) -> Chance:
    return Chance(seed)


def test_the_same_chance_is_the_same_change():
    for change in (
        lambda c: random_crops(PHOTOS, 32, c),
        lambda c: random_views(PHOTOS, 24, 0.2, c),
        lambda c: random_masks(chance().uniform(4, 20, 30), 2, 0.3, c),
        lambda c: random_equaliser(chance().uniform(4, 800), 9, c),
    ):
        assert torch.equal(change(chance(1)), change(chance(1)))
        assert not torch.equal(change(chance(1)), change(chance(2)))


def test_a_crop_is_a_part_of_its_photo_or_of_its_mirror_image():
    crops = ((random_crops(PHOTOS, 32, chance()) + 1) * 127.5).round().byte()
    for photo, crop in zip(PHOTOS, crops, strict=True):
        windows = photo.unfold(1, 32, 1).unfold(2, 32, 1)  # (3, 9, 9, 32, 32)
        both = [
            (windows == c[:, None, None]).all(dim=(0, 3, 4)).any() for c in (crop, crop.flip(2))
        ]
        assert any(both)


def test_views_stay_in_range():
    views = random_views(PHOTOS, 24, 0.2, chance())
    assert views.shape == (4, 3, 24, 24)
    assert views.abs().max() <= 1


@pytest.mark.parametrize("length", [3, 100, 1000])
def test_a_window_is_taken_from_the_wave_or_repeats_it(length):
    wave = torch.arange(length).short()
    window = (random_windows([wave], 100, chance())[0] * 32_768).round().long()
    assert len(window) == 100
    assert ((window - window[0]) % length == torch.arange(100) % length).all()


def test_a_wave_of_just_the_windows_length_is_kept_whole():
    """A rolled one would have its end beside its beginning, in the middle of what is heard."""
    waves = [torch.arange(100).short()] * 20
    windows = (random_windows(waves, 100, chance()) * 32_768).round().long()
    assert torch.equal(windows, torch.arange(100).expand(20, 100))


def test_masks_hide_no_more_than_allowed_and_put_the_mean_there():
    seen = chance(3).uniform(8, 50, 60)
    masked = random_masks(seen, 1, 0.2, chance(4))
    changed = masked != seen
    assert changed.any()
    rows, columns = changed.all(dim=2).sum(dim=1), changed.all(dim=1).sum(dim=1)
    assert rows.max() <= 0.2 * 50 + 1
    assert columns.max() <= 0.2 * 60 + 1
    means = seen.mean(dim=(1, 2), keepdim=True).expand_as(seen)
    assert torch.equal(masked[changed], means[changed])


def test_an_equaliser_changes_each_frequency_by_its_gain_and_keeps_their_phase():
    """An impulse holds every frequency at 1 and phase 0."""
    impulse = torch.zeros(5, 16_000)
    impulse[:, 0] = 1
    response = torch.fft.rfft(random_equaliser(impulse, 9, chance(3)))
    assert response.imag.abs().max() < 1e-4
    gain_db = 20 * response.real.log10()
    assert gain_db.abs().max() <= 9 + 1e-4
    assert gain_db.std(dim=1).min() > 1  # and no plain gain
    # Six gains, 1.4 octaves apart, straight over octaves in between: 8000 to 3031 Hz, and so on.
    high, low = 8000, 8000 * 2**-1.4
    middle = round((high * low) ** 0.5)
    expected = (gain_db[:, high] + gain_db[:, round(low)]) / 2
    assert torch.allclose(gain_db[:, middle], expected, atol=0.02)
    assert torch.allclose(gain_db[:, 0], gain_db[:, 62], atol=0.02)  # level below the lowest
    assert torch.equal(random_equaliser(impulse, 0, chance(3)).round(decimals=4), impulse)
