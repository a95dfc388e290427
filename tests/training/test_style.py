"""A stylizer learns a sound's look, keeps the photo's structure, and hears how loud it is."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from s2s_cli import registry
from s2s_cli.audio.spectrogram import FRONT_ENDS
from s2s_cli.chance import Chance
from s2s_cli.data.shards import find_shards, load_photos, load_sounds
from s2s_cli.errors import DataError, RecipeError
from s2s_cli.networks.audio_encoder import AudioEncoderConfig
from s2s_cli.networks.discriminators import PatchGANConfig, StructureHead
from s2s_cli.networks.layers import ResNetConfig
from s2s_cli.networks.stylizer import Stylizer, StylizerConfig
from s2s_cli.training.augmentation import first_window
from s2s_cli.training.loop import train
from s2s_cli.training.recipe import Pace, Plan, StylizerRecipe, read_recipe
from s2s_cli.training.state import State, learning_rate
from s2s_cli.training.steps import level_db
from s2s_cli.training.style import LearnStylizer, critic

CPU = torch.device("cpu")
HEARS_AS_TINY = AudioEncoderConfig(  # as the tiny model does, but for less long
    ResNetConfig(depths=(1, 1, 1, 1), widths=(8, 8, 8, 16), in_channels=1),
    features=16,
    front_end="loudness",
    seconds=1.0,
    relu=False,
)

TINY_STYLE = """
name = "tiny"
[data]
photo-px = 40
[stylizer]
sources = ["deep"]
targets = ["shrill"]
crop-px = 32
head-width = 8
patches = 16
quiet-db = -20.0
loud-db = 10.0
stillness = 5.0
[stylizer.plan]
steps = 5
batch = 4
learning-rate = 2e-3
warmup-steps = 0
decay-steps = 2
betas = [0.5, 0.999]
weight-decay = 0.0
clip-norm = 0.0
checkpoint-every = 2
ema-decay = 0.5
[stylizer.network]
features = 8
down = [8, 8, 16]
blocks = 2
up = [8, 8]
fusion = "modulated"
[stylizer.critic]
widths = [8, 8, 8, 16]
[stylizer.audio]
features = 8
front-end = "loudness"
seconds = 1.0
relu = false
[stylizer.audio.resnet]
depths = [1, 1, 1, 1]
widths = [8, 8, 8, 16]
in-channels = 1
"""


@pytest.fixture
def style_toml(tmp_path):
    path = tmp_path / "style.toml"
    path.write_text(TINY_STYLE)
    return path


@pytest.fixture
def recipe(style_toml) -> StylizerRecipe:
    return read_recipe(style_toml).stylizer


@pytest.fixture
def begin(tiny_data):
    """A stage of a recipe, its first weights always the same."""
    photos = load_photos(find_shards(tiny_data, "photos/*.tar"), 40)
    sounds = load_sounds(find_shards(tiny_data, "sounds/*.tar"), 16_000)

    def begin(recipe):
        torch.manual_seed(0)
        return LearnStylizer(recipe, photos, sounds)

    return begin


def chance(seed: int = 0) -> Chance:
    return Chance(seed)


def lessons_of(stage, name: object = 0):
    return stage.lessons(stage.draw(drawn := Chance(name)), drawn)


def step(stage, number=0) -> dict[str, float]:
    """One step of a stage that has taken none; returns its measures."""
    state, measures = State(stage.network, stage.learners, stage.plan), {}
    for lesson in lessons_of(stage, number):
        state.forget_gradients()
        lesson.loss.backward()
        state.update(lesson.taught)
        measures |= {name: value.item() for name, value in lesson.measures.items()}
    return measures


# From a recipe to a model


def test_a_recipe_becomes_a_model_that_restyles(s2s, style_toml, tiny_data, tmp_path):
    run = tmp_path / "run"
    said = s2s("train", style_toml, "--data", tiny_data, "-o", run)
    assert (said.code, said.lines) == (0, [str(run / "model")])
    assert "s2s stylize photo.jpg rain.wav" in " ".join(said.err.split())
    assert sorted(path.name for path in (run / "model").iterdir()) == [
        "SHA256SUMS", "audio_encoder.safetensors", "stylizer.safetensors",
    ]  # fmt: skip
    model = registry.open_stylizer(run / "model")
    assert model.stylizer.config == StylizerConfig(8, (8, 8, 16), 2, (8, 8), "modulated")
    logged = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    assert logged["step"] == 5
    assert {"loss", "style", "structure", "identity", "moved", "critic"} <= logged.keys()


def test_a_run_stopped_after_every_step_gives_the_very_same_weights(
    s2s, style_toml, tiny_data, tmp_path
):
    def train_s2s(run, *more):
        return s2s("train", style_toml, "--data", tiny_data, "-o", tmp_path / run, *more)

    train_s2s("unbroken")
    stops = 0
    while not train_s2s("broken", "--time-budget", "0.001s").lines:
        stops += 1
        assert stops < 10
    assert stops == 4
    for name in (registry.AUDIO_ENCODER, registry.STYLIZER):
        broken, unbroken = (tmp_path / run / "model" / name for run in ("broken", "unbroken"))
        assert broken.read_bytes() == unbroken.read_bytes()


def test_a_checkpoint_holds_every_optimiser(recipe, begin, tmp_path):
    train(begin(recipe), tmp_path, seed=0, device=CPU, watch=lambda *_: lambda _: None)
    kept = torch.load(tmp_path / "stylizer.checkpoint", weights_only=True)
    assert kept["optimisers"].keys() == {"stylizer", "critic", "structure"}
    assert all(optimiser["state"] for optimiser in kept["optimisers"].values())


def test_faults_of_a_recipe_are_told_at_once(style_toml):
    text = TINY_STYLE.replace("crop-px = 32", "crop-px = 50").replace('["deep"]', "[]")
    style_toml.write_text(text.replace("features = 8", "features = 9", 1))
    with pytest.raises(RecipeError) as fault:
        read_recipe(style_toml)
    for sentence in (
        "stylizer.audio.features = 8 must equal stylizer.network.features = 9",
        "stylizer.crop_px = 50 must be a multiple of 4 from 32 to data.photo_px = 40",
        "stylizer.sources must name a scene",
    ):
        assert sentence in str(fault.value)


def test_misspelt_names_and_a_painters_tables_are_told_at_once(style_toml):
    style_toml.write_text(TINY_STYLE.replace("patches", "patchs") + "[generator]\nblend = 2\n")
    with pytest.raises(RecipeError) as fault:
        read_recipe(style_toml)
    assert "generator is unknown" in str(fault.value)
    assert "stylizer.patchs is unknown. Did you mean 'patches'?" in str(fault.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ('front-end = "standardised"', "asks for an audio encoder that hears loudness"),
        ('front-end = "loud"', "front_end must be one of standardised, loudness, mel, magnitude"),
        ('front-end = "loudness"\npeak = 0.9', "asks for an audio encoder that hears loudness"),
    ],
)
def test_loudness_is_not_asked_of_the_deaf(style_toml, change, sentence):
    style_toml.write_text(TINY_STYLE.replace('front-end = "loudness"', change))
    with pytest.raises(RecipeError, match=sentence):
        read_recipe(style_toml)


def test_scenes_that_the_shards_lack_are_told_at_once(recipe, begin):
    with pytest.raises(DataError, match=r"no photos of fog, hail and no sounds of hail"):
        begin(replace(recipe, sources=("deep", "fog"), targets=("shrill", "hail")))


def test_the_defaults_are_the_published_settings():
    plan = Plan(steps=50, batch=16, learning_rate=2e-4, warmup_steps=0, decay_steps=20)
    recipe = StylizerRecipe(plan=plan, sources=("sunny",), targets=("rain",))
    assert recipe.network == StylizerConfig()
    assert recipe.critic == PatchGANConfig()
    assert (recipe.audio.front_end, recipe.audio.seconds, recipe.audio.peak) == (
        "magnitude", 3.0, 1 / 1.1,
    )  # fmt: skip
    assert recipe.critic_pace == recipe.structure_pace == Pace(2e-4, (0.5, 0.999), 0.0)
    assert (recipe.structure_weight, recipe.identity_weight, recipe.stillness) == (0.5, 0.5, 0)
    assert not recipe.by_loudness
    rates = [learning_rate(epoch, plan) for epoch in range(50)]
    published = [2e-4 * (1 - max(0, epoch + 1 - 30) / 21) for epoch in range(50)]
    assert rates == pytest.approx(published)


# What a batch is


def test_windows_are_as_loud_as_drawn_and_say_so(recipe, begin):
    stage = begin(recipe)
    waves, loud = stage.windows(torch.tensor([0, 3, 6, 9] * 8), chance())
    louder_db = level_db(waves) - stage.usual_db
    assert waves.shape == (32, 16_000)
    assert louder_db.min() >= -20.01
    assert louder_db.max() <= 10.01
    assert torch.allclose(loud, (louder_db + 20) / 30, atol=1e-4)
    assert loud.max() - loud.min() > 0.7


def test_a_published_window_is_the_first_and_as_loud_as_its_peak(recipe, begin):
    deaf = replace(recipe.audio, front_end="magnitude", peak=0.9)
    stage = begin(
        replace(recipe, audio=deaf, window="first", quiet_db=0.0, loud_db=0.0, stillness=0.0)
    )
    waves, loud = stage.windows(torch.tensor([6, 8]), chance())
    assert torch.allclose(waves.abs().amax(dim=1), torch.tensor(0.9))
    assert torch.equal(loud, torch.ones(2))
    first = stage.sounds.waves[8][:16_000].float()
    assert torch.allclose(waves[1], first * 0.9 / first.abs().max(), atol=1e-6)


def test_loud_sounds_go_with_their_scene_and_quiet_ones_with_any_source(recipe, begin):
    stage = begin(recipe)
    shrill = torch.full((50,), 6)  # sounds 6 to 11 and photos 8 to 15 are shrill
    assert (stage.matching(shrill, torch.ones(50), chance()) >= 8).all()
    assert (stage.matching(shrill, torch.zeros(50), chance()) < 8).all()
    half = stage.matching(shrill, torch.full((50,), 0.5), chance()) >= 8
    assert 10 < half.sum() < 40


# Who learns what


def test_each_network_is_taught_by_its_own_lesson_alone(recipe, begin):
    stage = begin(recipe)
    lessons = lessons_of(stage)
    next(lessons).loss.backward()
    assert all(p.grad is None for p in stage.stylizer.parameters())
    assert all(p.grad is None for p in stage.structure.parameters())
    assert all(p.grad is not None for p in stage.critic.parameters())
    stage.critic.zero_grad()
    lesson = next(lessons)
    lesson.loss.backward()
    assert all(p.grad is None for p in stage.critic.parameters())
    for name in lesson.taught:
        parameters = list(stage.learners[name].network.parameters())
        assert all(p.grad is not None and p.grad.isfinite().all() for p in parameters)
    assert next(lessons, None) is None


def test_every_weight_is_taught_in_bfloat16_too(recipe, begin):
    """Also those that meet autocast, which keeps what it has cast, under no_grad as well."""
    stage = begin(recipe)
    lessons = lessons_of(stage)
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            lesson = next(lessons)
        stage.network.zero_grad()
        lesson.loss.backward()
        for name in lesson.taught:
            assert all(p.grad is not None for p in stage.learners[name].network.parameters())


def test_each_learner_moves_at_its_own_pace(recipe, begin):
    """The first step of Adam moves every weight by the learning rate."""
    stage = begin(
        replace(recipe, critic_pace=Pace(3e-3), structure_pace=Pace(1e-4, betas=(0.9, 0.99)))
    )
    names = stage.learners.keys()
    before = {
        name: [p.detach().clone() for p in stage.learners[name].network.parameters()]
        for name in names
    }
    step(stage)
    moved = {
        name: max(
            (new - old).abs().max().item()
            for new, old in zip(
                stage.learners[name].network.parameters(), before[name], strict=True
            )
        )
        for name in names
    }
    assert moved == pytest.approx({"stylizer": 2e-3, "critic": 3e-3, "structure": 1e-4}, rel=0.02)


# What is learned


def test_places_are_known_again_after_a_few_steps(recipe, begin, tmp_path):
    recipe = replace(recipe, plan=replace(recipe.plan, steps=30), structure_pace=Pace(2e-3))
    told: list[dict[str, float]] = []
    train(begin(recipe), tmp_path, seed=0, device=CPU, watch=lambda *_: told.append)
    for name in ("loss", "structure", "identity"):
        first, last = (sum(m[name] for m in part) for part in (told[:5], told[-5:]))
        assert last < 0.8 * first


def test_the_discriminator_learns_to_tell_real_from_restyled(recipe, begin, tmp_path):
    """With the stylizer held still; guessing costs 1/4."""
    still = replace(recipe.plan, steps=40, learning_rate=0.0, ema_decay=0.0)
    told: list[dict[str, float]] = []
    stage = begin(replace(recipe, plan=still, critic_pace=Pace(2e-3)))
    train(stage, tmp_path, seed=0, device=CPU, watch=lambda *_: told.append)
    assert sum(m["critic"] for m in told[-5:]) / 5 < 0.1


@pytest.mark.parametrize(("loud", "weight"), [(0.0, 5.0), (0.5, 2.75), (1.0, 0.5)])
def test_stillness_holds_photos_back_from_quiet_sounds(recipe, begin, loud, weight):
    """The loss counts how far each photo moved, by how quiet its sound is."""

    def measured(stillness):
        stage = begin(replace(recipe, stillness=stillness))
        windows = stage.windows
        stage.windows = lambda *given: (windows(*given)[0], torch.full((4,), loud))
        return step(stage)

    held, free = measured(5.0), measured(0.0)
    assert held["loss"] - free["loss"] == pytest.approx(weight * free["moved"], rel=1e-3, abs=1e-5)


# Ablations


def test_an_ablation_holds_only_its_difference(style_toml, tmp_path):
    ablation = tmp_path / "deeper" / "ablation.toml"
    ablation.parent.mkdir()
    ablation.write_text(
        'extends = "../style.toml"\nname = "late"\n[stylizer]\nhead_width = 9\n'
        '[stylizer.critic]\nfusion = "late"\n'
    )
    base, changed = read_recipe(style_toml), read_recipe(ablation)
    critic = replace(base.stylizer.critic, fusion="late")
    wanted = replace(base.stylizer, critic=critic, head_width=9)
    assert changed == replace(base, name="late", stylizer=wanted)


@pytest.mark.parametrize(
    ("extends", "sentence"),
    [
        ('"style.toml"', "extends itself"),
        ('"gone.toml"', "cannot be read"),
        ("3", "extends = 3 must be the path of a recipe"),
    ],
)
def test_what_cannot_be_extended(style_toml, extends, sentence):
    style_toml.write_text(f"extends = {extends}\n" + TINY_STYLE)
    with pytest.raises(RecipeError, match=sentence):
        read_recipe(style_toml)


PAPER = Path(__file__).parents[2] / "examples" / "avstyle"


@pytest.mark.parametrize("name", ["cycle", "late-fusion", "no-identity", "pretrained", "official"])
def test_each_ablation_of_the_paper_takes_a_step(name, begin):
    """As it is written, but on the tiny data and at the size of a tiny network."""
    recipe, paper = (read_recipe(PAPER / f"{which}.toml").stylizer for which in (name, "paper"))
    assert recipe != paper
    small = {
        "sources": ("deep",),
        "targets": ("shrill",),
        "crop_px": 32,
        "patches": 16,
        "plan": replace(recipe.plan, batch=2),
        "network": replace(recipe.network, down=(4, 6, 8), blocks=2, up=(6, 4)),
        "critic": replace(recipe.critic, widths=(4, 4, 4, 8)),
    }
    measures = step(begin(replace(recipe, **small)))
    assert measures["loss"] > 0
    assert ("identity" in measures) == (name != "no-identity")


def test_the_papers_recipe_is_the_published_settings():
    recipe = read_recipe(PAPER / "paper.toml").stylizer
    defaults = StylizerRecipe(recipe.plan, recipe.sources, recipe.targets)
    assert recipe == defaults
    assert recipe.plan == Plan(
        50_000, 16, 2e-4, 0, 20_000, (0.5, 0.999), weight_decay=0.0, clip_norm=0.0
    )


@pytest.fixture
def plain(recipe):
    return replace(recipe, quiet_db=0.0, loud_db=0.0, stillness=0.0)


def test_a_cycle_learns_a_second_stylizer_in_place_of_the_head(plain, begin):
    stage = begin(replace(plain, structure="cycle", structure_weight=10.0))
    assert isinstance(begin(plain).structure, StructureHead)
    assert isinstance(stage.structure, Stylizer)
    measures = step(stage)
    assert measures["structure"] < 2  # an L1 distance of pictures
    expected = measures["style"] + 10 * measures["structure"] + 0.5 * measures["identity"]
    assert measures["loss"] == pytest.approx(expected, rel=1e-5)


def test_without_identity_loss_only_sources_are_restyled(plain, begin):
    seen = []
    for weight in (0.5, 0.0):
        stage = begin(replace(plain, identity_weight=weight))
        stage.stylizer.to_rgb.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
        assert ("identity" in step(stage)) == (weight > 0)
    assert seen == [8, 4]


def test_a_late_discriminator_has_an_ear(plain, begin):
    stage = begin(replace(plain, critic=replace(plain.critic, fusion="late")))
    assert "ear.0.weight" in stage.critic.state_dict()
    step(stage)


def test_concatenated_is_the_published_fusion(plain, begin):
    stage = begin(replace(plain, network=replace(plain.network, fusion="concatenated")))
    assert step(stage)["loss"] > 0


def test_the_audio_encoder_may_go_on_from_another_models(plain, begin, tiny_model):
    network = replace(plain.network, features=16)
    pretrained = replace(plain, audio=HEARS_AS_TINY, network=network, audio_from=str(tiny_model))
    learned = registry.load_audio_encoder(tiny_model).state_dict()
    for name, weight in begin(pretrained).audio_encoder.state_dict().items():
        assert torch.equal(weight, learned[name])
    with pytest.raises(RecipeError, match=r"is another network than the recipe's"):
        begin(replace(plain, audio_from=str(tiny_model)))


# On what another model knows already


@pytest.fixture
def knowing(plain, tiny_model):
    """The recipe on a frozen audio encoder, its discriminator on the image encoder beside it."""
    return replace(
        plain,
        audio=HEARS_AS_TINY,
        network=replace(plain.network, features=16),
        audio_from=str(tiny_model),
        audio_learns=False,
        critic_from=str(tiny_model),
        mismatch_weight=1.0,
    )


def test_what_is_heard_is_brought_to_mean_0_and_deviation_1(knowing, begin, tiny_data):
    stage = begin(knowing)
    sounds = load_sounds(find_shards(tiny_data, "sounds/*.tar"), 16_000)
    waves = torch.stack(
        [
            first_window(wave, 16_000)
            for wave, scene in zip(sounds.waves, sounds.scenes, strict=True)
            if scene == "shrill"  # the only target
        ]
    )
    features = stage.audio_encoder.eval()(FRONT_ENDS["loudness"](waves))
    torch.testing.assert_close(features.mean(dim=0), torch.zeros(16), atol=1e-3, rtol=0)
    torch.testing.assert_close(features.std(dim=0), torch.ones(16), atol=1e-3, rtol=0)


def test_a_frozen_audio_encoder_stays_as_it_is(knowing, begin):
    stage = begin(knowing)
    before = {name: value.clone() for name, value in stage.audio_encoder.state_dict().items()}
    assert step(stage)["critic"] > 0
    for name, value in stage.audio_encoder.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_photos_with_another_scenes_sound_should_score_0(knowing, begin):
    stage = begin(knowing)
    stage.critic = lambda pictures, heard: heard[:, :1, None, None]  # a score per sound
    heard = torch.tensor([[1.0], [2], [3], [5]])
    loud = torch.tensor([1.0, 0.5, 0.5, 0.2])
    kinds = torch.tensor([1, 1, 0, 2])
    wrong = stage.mismatch(torch.zeros(4, 3, 32, 32), heard, kinds, loud)
    # Sounds 1, 0, 3, 2 are shown with photos of 0, 1, 2, 3; the first two are of one scene.
    by_hand = (0 + 0 + 0.2 * 25 + 0.5 * 9) / 4 / 2
    assert wrong.item() == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("audio-learns = false", "audio_learns = false asks for stylizer.audio_from"),
        ('critic-from = "pocket"', "critic_from asks for stylizer.audio_learns = false"),
        ("mismatch-weight = -1.0", "mismatch_weight = -1 must not be negative"),
        ("statistics-weight = 1.0", "statistics_weight asks for stylizer.critic_from"),
    ],
)
def test_settings_that_do_not_go_together(style_toml, change, sentence):
    style_toml.write_text(TINY_STYLE.replace("crop-px = 32", f"crop-px = 32\n{change}"))
    with pytest.raises(RecipeError, match=sentence):
        read_recipe(style_toml)


def test_statistics_count_by_how_loud_a_sound_is(knowing, begin):
    def measured(weight, loud):
        stage = begin(replace(knowing, statistics_weight=weight))
        windows = stage.windows
        stage.windows = lambda *given: (windows(*given)[0], torch.full((4,), loud))
        return step(stage)

    assert "statistics" not in measured(0.0, 1.0)
    free, quiet, loud = measured(1e-9, 1.0), measured(3.0, 0.0), measured(3.0, 1.0)
    assert quiet["statistics"] == 0
    assert loud["statistics"] > 0.01
    assert loud["loss"] - free["loss"] == pytest.approx(3 * loud["statistics"], rel=1e-3)


def test_an_image_encoder_of_other_features_is_no_connoisseur(knowing, begin, tiny_model):
    narrow = replace(knowing, audio=replace(knowing.audio, features=8), audio_learns=True)
    with pytest.raises(RecipeError, match="they must speak of the same"):
        critic(narrow)
