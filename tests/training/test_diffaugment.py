"""Photos and fakes are changed alike, and gradients find their way back through the changes."""

import pytest
import torch
from torch import Tensor

from s2s_cli.chance import Chance
from s2s_cli.training.diffaugment import CHANGES, change_colours, cut_out, diffaugment, translate

POLICY = ("colour", "translation", "cutout")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


class Told(Chance):
    """Draws what it was told, in this order, the same for every item."""

    def __init__(self, *told: float) -> None:
        super().__init__()
        self.told = iter(told)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        value = next(self.told)
        assert low <= value <= high
        return torch.full(shape, value)

    def below(self, end: int, *shape: int) -> Tensor:
        value = next(self.told)
        assert 0 <= value < end
        return torch.full(shape, value)


def test_without_a_policy_nothing_changes():
    pictures = drawn(2, 3, 8, 8)
    assert torch.equal(diffaugment(pictures, (), Chance()), pictures)


@pytest.mark.parametrize(
    ("told", "rows", "columns"),  # of 16, where the picture's first row and column come to lie
    [((2, 2), 0, 0), ((0, 2), 2, 0), ((4, 2), -2, 0), ((2, 3), 0, -1), ((1, 0), 1, 2)],
)
def test_a_picture_is_shifted_by_what_was_drawn_and_grey_comes_in(told, rows, columns):
    pictures = drawn(2, 3, 16, 16) + 2  # nothing in it is grey
    shifted = translate(pictures, Told(*told))
    wanted = pictures.roll((rows, columns), dims=(2, 3))
    wanted[:, :, : max(rows, 0)] = 0
    wanted[:, :, 16 + min(rows, 0) :] = 0
    wanted[:, :, :, : max(columns, 0)] = 0
    wanted[:, :, :, 16 + min(columns, 0) :] = 0
    assert torch.equal(shifted, wanted)


def test_shifts_reach_an_eighth_of_the_side_and_differ_within_a_batch():
    lone = torch.zeros(200, 1, 16, 16)
    lone[:, :, 8, 8] = 1
    _, _, rows, columns = translate(lone, Chance()).nonzero().T
    assert set(rows.tolist()) == set(columns.tolist()) == {6, 7, 8, 9, 10}
    assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == 25


@pytest.mark.parametrize(
    ("middle", "hidden"),
    [(4, slice(0, 8)), (8, slice(4, 12)), (0, slice(0, 4)), (16, slice(12, 16))],
)
def test_half_the_side_is_cut_out_around_what_was_drawn(middle, hidden):
    pictures = drawn(2, 3, 16, 16) + 2
    wanted = pictures.clone()
    wanted[:, :, hidden, 4:12] = 0
    assert torch.equal(cut_out(pictures, Told(middle, 8)), wanted)


def test_colours_change_as_the_paper_says():
    picture = drawn(1, 3, 4, 4)
    brighter = change_colours(picture, Told(0.25, 1, 1))
    torch.testing.assert_close(brighter, picture + 0.25)
    grey = change_colours(picture, Told(0, 0, 1))
    torch.testing.assert_close(grey, picture.mean(dim=1, keepdim=True).expand(1, 3, 4, 4))
    vivid = change_colours(picture, Told(0, 2, 1))
    mean = picture.mean(dim=1, keepdim=True)
    torch.testing.assert_close(vivid, mean + 2 * (picture - mean))
    flat = change_colours(picture, Told(0, 1, 0.5))
    torch.testing.assert_close(flat, (picture + picture.mean()) / 2)


@pytest.mark.parametrize("change", POLICY)
def test_the_gradient_is_that_of_the_change(change):
    """Against differences of the outputs, in double precision."""
    pictures = drawn(2, 3, 8, 8).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda changed: CHANGES[change](changed, Chance("the same every time")), pictures
    )
    gradient = torch.autograd.grad(CHANGES[change](pictures, Chance()).sum(), pictures)[0]
    assert gradient.abs().sum() > 0


def test_changes_follow_from_the_chance_however_a_batch_is_shared_out():
    pictures = drawn(4, 3, 16, 16)
    whole = diffaugment(pictures, POLICY, Chance("step"))
    halves = [
        diffaugment(some, POLICY, Chance("step", part, 2))
        for part, some in enumerate(pictures.chunk(2))
    ]
    assert torch.equal(torch.cat(halves), whole)
    assert not torch.equal(diffaugment(pictures, POLICY, Chance("another")), whole)
    assert len({tuple(one.flatten().tolist()) for one in whole}) == 4
