"""Shards are read as they are, and scenes are drawn as often as they should be."""

import pytest
import torch

from s2s_cli.chance import Chance
from s2s_cli.data.pairs import balanced_weights, same_scene, scene_numbers
from s2s_cli.data.shards import find_shards, load_photos, load_sounds
from s2s_cli.errors import DataError


def test_photos_come_in_their_order_square_and_at_one_size(tiny_data):
    photos = load_photos(find_shards(tiny_data, "photos/train-*.tar"), 36)
    assert photos.keys[0] == "deep/0"
    assert photos.scenes == ("deep",) * 8 + ("shrill",) * 8
    assert photos.pictures.shape == (16, 3, 36, 36)
    blue, red = (
        photos.pictures[0].float().mean(dim=(1, 2)),
        photos.pictures[8].float().mean(dim=(1, 2)),
    )
    assert blue.argmax() == 2
    assert red.argmax() == 0


def test_sounds_keep_their_own_lengths(tiny_data):
    sounds = load_sounds(find_shards(tiny_data, "sounds/train-*.tar"), 16_000)
    assert [len(wave) for wave in sounds.waves[:3]] == [16_000, 19_200, 22_400]
    assert sounds.waves[0].abs().max() == pytest.approx(0.5 * 32_767, abs=2)


def test_what_is_wrong_with_shards_is_a_sentence(tiny_data, tmp_path):
    with pytest.raises(
        DataError, match=r"There are no shards .*: give the data's folder with --data"
    ):
        find_shards(tmp_path, "photos/*.tar")
    with pytest.raises(DataError, match="is at 16000 Hz: write the shards at 22050 Hz"):
        load_sounds(find_shards(tiny_data, "sounds/*.tar"), 22_050)
    (tmp_path / "broken.tar").write_bytes(b"no tar at all")
    with pytest.raises(DataError, match=r"broken\.tar cannot be read"):
        load_photos([tmp_path / "broken.tar"], 36)


@pytest.mark.parametrize(("evenness", "share"), [(0, 0.1), (1, 0.5), (0.5, 0.25)])
def test_evenness_moves_from_items_to_scenes(evenness, share):
    """1 rare and 9 common items: weights 1 : 9 ** (1 - evenness)."""
    weights = balanced_weights(["rare"] + ["common"] * 9, evenness)
    assert weights.sum().item() == pytest.approx(1)
    assert weights[0].item() == pytest.approx(share)


def test_a_favoured_scene_is_drawn_once_more_for_each_time_it_is_named():
    weights = balanced_weights(["a", "b", "b", "c"], 1, favoured=["c", "b", "c"])
    assert weights.tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 3 / 6])


def test_a_partner_is_of_the_same_scene_and_every_one_is_chosen_sometimes():
    others = scene_numbers(["b", "a", "b", "c", "a", "b"], ["a", "b", "c"])
    numbers = torch.tensor([0, 1, 2]).repeat(200)
    partners = same_scene(numbers, others, Chance())
    assert torch.equal(others[partners], numbers)
    assert set(partners.tolist()) == set(range(6))


def test_an_unknown_scene_is_minus_one():
    assert scene_numbers(["a", "x"], ["a"]).tolist() == [0, -1]
