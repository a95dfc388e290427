"""What is seen and heard together more often than by chance is found, without labels."""

import math
from dataclasses import replace

import pytest
import torch
from conftest import TINY_RESNET
from made_videos import FPS, RATE, make_videos

from s2s_cli import registry
from s2s_cli.audio.spectrogram import FRONT_ENDS
from s2s_cli.chance import Chance
from s2s_cli.data.shards import Photos, Sounds
from s2s_cli.errors import DataError, RecipeError
from s2s_cli.networks.audio_encoder import AudioEncoderConfig
from s2s_cli.networks.image_encoder import ImageEncoder, ImageEncoderConfig
from s2s_cli.networks.layers import ResNetConfig
from s2s_cli.networks.localiser import Localiser, LocaliserConfig, response
from s2s_cli.training.augmentation import as_pictures
from s2s_cli.training.localising import LearnLocaliser, LocaliserRecipe
from s2s_cli.training.loop import train
from s2s_cli.training.losses import hard_way
from s2s_cli.training.recipe import Plan

CPU = torch.device("cpu")

pytestmark = pytest.mark.timeout(900)  # a busy machine may be many times slower

SIDE_PX, SECONDS = 40, 4.0  # of made videos

RECIPE = LocaliserRecipe(
    plan=Plan(steps=450, batch=24, learning_rate=2e-3, warmup_steps=10),
    network=LocaliserConfig(
        ImageEncoderConfig(ResNetConfig(depths=(1,), widths=(32,)), squash_px=0, picture_px=36),
        AudioEncoderConfig(
            ResNetConfig(depths=(1, 1), widths=(16, 32), in_channels=1),
            features=16,
            front_end="loudness",
            seconds=0.5,
            relu=False,
        ),
    ),
)


# The loss


def test_a_sound_that_is_found_costs_what_the_temperature_leaves():
    """S is 1 at the place that sounds and -1 at all others: log(1 + 3 exp(-2 / temperature))."""
    similarity = torch.full((3, 3, 1, 2), -1.0)
    similarity[range(3), range(3), 0, 0] = 1
    for temperature in (0.5, 2.0):
        expected = math.log1p(3 * math.exp(-2 / temperature))
        assert hard_way(similarity, temperature).item() == pytest.approx(expected, rel=1e-5)
    assert hard_way(similarity).item() == pytest.approx(0, abs=1e-6)


def test_where_everything_is_alike_only_guessing_is_left():
    """Among all pictures and the own background."""
    assert hard_way(torch.full((7, 7, 2, 2), 0.3)).item() == pytest.approx(math.log(8), rel=1e-5)


def test_the_loss_is_the_papers_place_by_place():
    """P_i and N_i as arXiv:2104.02691 writes them, one term for each negative."""
    similarity = torch.rand(4, 4, 3, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def logistic(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    def mean(masks: list[float], values: list[float]) -> float:
        return sum(m * s for m, s in zip(masks, values, strict=True)) / sum(masks)

    losses = []
    for i in range(4):
        terms = []
        for j in range(4):
            places = similarity[i, j].flatten().tolist()
            sounding = [logistic((s - 0.65) / 0.03) for s in places]
            terms.append(math.exp(mean(sounding, places) / 0.07))
        places = similarity[i, i].flatten().tolist()
        silent = [1 - logistic((s - 0.4) / 0.03) for s in places]
        hard = math.exp(mean(silent, places) / 0.07)
        losses.append(-math.log(terms[i] / (sum(terms) + hard)))
    assert hard_way(similarity).item() == pytest.approx(sum(losses) / 4, rel=1e-4)


# What is drawn


def numbered(photos_of: list[int], sounds: list[int]) -> tuple[Photos, Sounds]:
    """Grey photos and constant waves that tell which video they are of: ten times its number."""
    return (
        Photos(
            [f"made/{video}" for video in photos_of],
            40,
            lambda n: torch.full((3, 40, 40), 10 * photos_of[n], dtype=torch.uint8),
        ),
        Sounds(
            [f"made/{video}" for video in sounds],
            RATE,
            lambda n: torch.full((RATE,), 10 * sounds[n], dtype=torch.int16),
        ),
    )


def test_pictures_are_of_the_moment_that_is_heard():
    """Whatever the order of the shards; a sound or a photo that is alone is never drawn."""
    photos, sounds = numbered([5, 1, 2, 2, 2, 4, 1], [3, 2, 1, 5, 9])
    batch = LearnLocaliser(RECIPE, photos, sounds).draw(Chance("a"))
    assert batch["pictures"].shape == (24, 3, 36, 36)
    assert batch["waves"].shape == (24, RATE // 2)
    seen = ((batch["pictures"][:, 0, 0, 0] + 1) * 127.5).round()
    heard = (batch["waves"][:, 0] * 32_768).round()
    assert torch.equal(seen, heard)
    assert set(heard.tolist()) == {10, 20, 50}


def test_two_parts_of_a_batch_are_the_batch():
    chance = torch.Generator().manual_seed(0)
    pictures = torch.randint(256, (6, 3, 40, 40), generator=chance, dtype=torch.uint8)
    waves = torch.randint(-9999, 9999, (6, RATE), generator=chance, dtype=torch.int16)
    keys = [f"made/{video}" for video in range(6)]
    photos = Photos(keys, 40, pictures.__getitem__)
    stage = LearnLocaliser(RECIPE, photos, Sounds(keys, RATE, waves.__getitem__))
    whole = stage.draw(Chance("a"))
    halves = [stage.draw(Chance("a", part, 2)) for part in range(2)]
    for name, rows in whole.items():
        assert torch.equal(torch.cat([half[name] for half in halves]), rows)
    assert not torch.equal(stage.draw(Chance("b"))["waves"], whole["waves"])


def test_sounds_without_photos_end_in_a_sentence():
    with pytest.raises(DataError, match=r"No sound .* make them with s2s pairs\."):
        LearnLocaliser(RECIPE, *numbered([1, 2], [3, 4]))


# Where it begins


def test_it_can_go_on_from_another_models_image_encoder(tiny_model):
    image = ImageEncoderConfig(TINY_RESNET, squash_px=0, picture_px=32)
    recipe = replace(
        RECIPE, network=replace(RECIPE.network, image=image), image_from=str(tiny_model)
    )
    stage = LearnLocaliser(recipe, *numbered([1], [1]))
    learned = registry.load_network_as(ImageEncoder, tiny_model / registry.IMAGE_ENCODER)
    for name, weights in learned.state_dict().items():
        assert torch.equal(stage.network.image.state_dict()[name], weights)
    assert all(weights.requires_grad for weights in stage.network.parameters())


def test_an_image_encoder_of_another_size_ends_in_a_sentence(tiny_model):
    with pytest.raises(RecipeError, match="give that the same settings"):
        LearnLocaliser(replace(RECIPE, image_from=str(tiny_model)), *numbered([1], [1]))


# What it learns, on made videos


@pytest.fixture(scope="module")
def localiser(tmp_path_factory) -> Localiser:
    """Learned from 360 videos of which nothing is told."""
    videos = list(make_videos(360, side_px=SIDE_PX, seconds=SECONDS))
    keys = [f"made/{number}" for number in range(len(videos))]
    frames = [torch.from_numpy(frame).permute(2, 0, 1) for v in videos for frame in v.pictures]
    frame_keys = [key for key, v in zip(keys, videos, strict=True) for _ in v.pictures]
    waves = [torch.from_numpy(32_767 * video.wave).short() for video in videos]
    torch.manual_seed(0)
    stage = LearnLocaliser(
        RECIPE,
        Photos(frame_keys, SIDE_PX, frames.__getitem__),
        Sounds(keys, RATE, waves.__getitem__),
    )
    network = train(
        stage,
        tmp_path_factory.mktemp("run"),
        seed=0,
        device=CPU,
        watch=lambda *_: lambda _: None,
    )
    assert isinstance(network, Localiser)
    return network


@pytest.fixture(scope="module")
def unseen():
    """Sixty more."""
    return list(make_videos(60, first_seed=10_000, side_px=SIDE_PX, seconds=SECONDS))


def similarity(localiser: Localiser, video) -> torch.Tensor:
    """Of each frame and the sound around it, (frames, h, w)."""
    samples = round(localiser.config.audio.seconds * RATE)
    middles = [round(number / FPS * RATE) for number in range(len(video.pictures))]
    begins = [min(max(0, middle - samples // 2), len(video.wave) - samples) for middle in middles]
    waves = torch.stack([torch.from_numpy(video.wave[b : b + samples]) for b in begins])
    pictures = as_pictures(torch.from_numpy(video.pictures).permute(0, 3, 1, 2))
    return localiser.similarity(pictures, FRONT_ENDS[localiser.config.audio.front_end](waves))


def test_it_picks_a_right_moment_where_the_middle_is_right_by_chance(localiser, unseen):
    picked, middle = 0, 0
    with torch.no_grad():
        for video in unseen:
            best = response(similarity(localiser, video)).argmax().item()
            picked += bool(video.shown[best])
            middle += bool(video.shown[len(video.shown) // 2])
    assert 0.3 <= middle / len(unseen) <= 0.7
    assert picked / len(unseen) >= 0.9
