"""Chance is drawn for whole batches and given out in parts."""

import pytest
import torch

from s2s_cli.chance import Chance


def drawn(chance: Chance, rows: int) -> list[torch.Tensor]:
    weights = torch.tensor([0.5, 0.0, 0.2, 0.3])
    return [
        chance.uniform(rows, 2, low=-1),
        chance.items(weights, rows),
        chance.normal(2 * rows, 3),
        chance.below(7, rows),
        chance.items(weights, 0),
    ]


def test_the_parts_of_a_batch_are_the_whole():
    whole = drawn(Chance("a"), 6)
    parts = [drawn(Chance("a", part, 3), 2) for part in range(3)]
    for number, everything in enumerate(whole):
        assert torch.equal(torch.cat([part[number] for part in parts]), everything)


def test_it_follows_from_its_name_and_from_nothing_else():
    torch.manual_seed(1)
    first = Chance("0/generator/1").uniform(4)
    torch.manual_seed(2)
    assert torch.equal(Chance("0/generator/1").uniform(4), first)
    for other in ("1/generator/1", "0/localiser/1", "0/generator/2"):
        assert not torch.equal(Chance(other).uniform(4), first)


def test_draws_are_what_they_say():
    chance = Chance()
    assert chance.uniform(10_000, low=-3, high=5).mean().item() == pytest.approx(1, abs=0.1)
    assert chance.normal(10_000).std().item() == pytest.approx(1, abs=0.03)
    assert set(chance.below(3, 200).tolist()) == {0, 1, 2}
    shares = torch.bincount(chance.items(torch.tensor([0.0, 0.25, 0.75]), 10_000)) / 10_000
    assert shares.tolist() == pytest.approx([0, 0.25, 0.75], abs=0.02)
