"""A recipe means what it says: one setting is changed at a time, and all that is wrong is told."""

from pathlib import Path

import pytest
import tomli_w
from conftest import TINY_RECIPE
from recipes import difference, settings_of

from s2s_cli.errors import RecipeError
from s2s_cli.networks.config import to_table
from s2s_cli.training.recipe import read_recipe, recipe_of

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "examples" / "sound2scene" / "paper.toml"
WRITTEN = sorted([*ROOT.glob("examples/*/*.toml"), *ROOT.glob("models/*/recipe.toml")])


def fault_of(path: Path, *changes: str) -> str:
    """What is said of a recipe that does not fit."""
    with pytest.raises(RecipeError) as stop:
        read_recipe(path, changes)
    assert "\n" not in str(stop.value)
    return str(stop.value)


# Changes


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_setting_what_is_set_already_changes_nothing(path):
    """Each setting alone, also those that the file leaves out and those in tables it leaves out."""
    recipe = read_recipe(path)
    settings = settings_of(recipe)
    assert len(settings) > 30
    for name, value in settings.items():
        if value is not None and not name.startswith("generator.network.autoencoder."):
            written = tomli_w.dumps({"value": value}).removeprefix("value = ").strip()
            assert read_recipe(path, [f"{name}={written}"]) == recipe, name


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ("audio-encoder.plan.batch=3", "audio_encoder.plan.batch", 3),
        ("audio_encoder.plan.batch = 3", "audio_encoder.plan.batch", 3),
        ("audio-encoder.plan.learning-rate=1", "audio_encoder.plan.learning_rate", 1.0),
        ("audio-encoder.loss=nce", "audio_encoder.loss", "nce"),
        ('audio-encoder.loss="nce"', "audio_encoder.loss", "nce"),
        ("audio-encoder.network.relu=false", "audio_encoder.network.relu", False),
        # In a table that the file leaves out, and whose channel is not that of other trunks.
        (
            "audio-encoder.network.resnet.widths=[8, 8, 8, 16]",
            "audio_encoder.network.resnet.widths",
            (8, 8, 8, 16),
        ),
        ("image-encoder-from=pocket", "image_encoder_from", "pocket"),
    ],
)
def test_one_setting_changes_alone(change, name, value):
    assert difference(read_recipe(PAPER, [change]), read_recipe(PAPER)) == {name: value}


def test_the_last_change_wins_and_all_of_them_count():
    changed = read_recipe(PAPER, ["seed=3", "audio-encoder.plan.steps=7", "seed=4"])
    assert difference(changed, read_recipe(PAPER)) == {"seed": 4, "audio_encoder.plan.steps": 7}


def test_a_flow_decodes_with_the_autoencoder_that_is_changed(tiny_recipe):
    changed = read_recipe(tiny_recipe, ["autoencoder.network.latent-channels=6"])
    assert changed.generator.network.autoencoder == changed.autoencoder.network
    assert changed.autoencoder.network.latent_channels == 6


def test_a_change_can_make_a_recipe_whole(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(TINY_RECIPE.replace('name = "tiny"', ""))
    assert fault_of(path).endswith(" does not fit: name is missing.")
    assert read_recipe(path, ["name=tiny"]).name == "tiny"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("generator.plan.stps=5", "generator.plan.stps is unknown. Did you mean 'steps'?"),
        ("generatr.plan.steps=5", "generatr is unknown. Did you mean 'generator'?"),
        ("generator.plan.steps=abc", "generator.plan.steps = 'abc' must be a whole number."),
        ("generator.plan.steps=1.5", "generator.plan.steps = 1.5 must be a whole number."),
        ("generator.plan.steps=true", "generator.plan.steps = True must be a whole number."),
        ("generator.plan=5", "generator.plan must be a table."),
        ("data.pairs-by=name", "data.pairs_by = 'name' must be one of 'scene', 'key'."),
        ("generator.family=vae", "generator.family = 'vae' must be one of 'flow', 'biggan'."),
        ("generator.plan", "--set generator.plan must be like generator.plan.steps=500."),
        ("=5", "--set =5 must be like generator.plan.steps=500."),
    ],
)  # fmt: skip
def test_a_change_that_does_not_fit(tiny_recipe, change, sentence):
    assert fault_of(tiny_recipe, change) == f"The recipe {tiny_recipe} does not fit: {sentence}"


# Faults


def test_all_faults_of_a_recipe_are_told_at_once_with_the_nearest_names(tiny_recipe):
    text = TINY_RECIPE.replace("expander", "expandr").replace('name = "tiny"', "nam = 1")
    tiny_recipe.write_text(text.replace("blend = 2", "blend = 'two'"))
    told = fault_of(tiny_recipe)
    for fault in (
        "nam is unknown. Did you mean 'name'?",
        "name is missing",
        "image_encoder.expandr is unknown. Did you mean 'expander'?",
        "generator.blend = 'two' must be a whole number",
    ):
        assert fault in told


def test_all_that_does_not_fit_together_is_told_at_once(tiny_recipe):
    told = fault_of(
        tiny_recipe, "audio-encoder.network.features=8", "generator.network.velocity.width=12",
        "generator.blend=5", "image-encoder.crop-px=41", "autoencoder.plan.parts=3",
        "generator.network.velocity.heads=7", "generator.plan.validate-every=2",
    )  # fmt: skip
    for fault in (
        "audio_encoder.network.features = 8 must equal the image encoder's 16",
        "a width of 12 channels must be divisible by 8",
        "generator.blend must be at most generator.neighbours",
        "image_encoder.crop_px = 41 must be at most data.photo_px = 40",
        "autoencoder: batch = 4 must be divisible by parts = 3",
        "generator.network.velocity.heads = 7 must divide twice its width, 24",
        "generator: validate_every is for the audio encoder alone",
    ):
        assert fault in told


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("audio-encoder.plan.steps=0", "steps = 0 must be at least 1"),
        ("audio-encoder.photos-per-sound=0", "photos_per_sound = 0 must be at least 1"),
        ("generator.neighbours=-3", "generator.neighbours = -3 must be at least 1"),
        ("audio-encoder.plan.learning-rate=0", "plan.learning_rate = 0 must be above 0"),
        ("audio-encoder.plan.learning-rate=nan", "learning_rate = nan must be a finite number"),
        ("audio-encoder.pull=inf", "audio_encoder.pull = inf must be a finite number"),
        ("seed=99999999999999999999", "seed = 1e+20 must be a finite number"),
        ("audio-encoder.plan.weight-decay=-1", "weight_decay = -1 must not be negative"),
        ("audio-encoder.plan.betas=[0.9, 1.0]", "plan.betas = 1 must be from 0 to below 1"),
        ("audio-encoder.plan.ema-decay=1", "plan.ema_decay = 1 must be from 0 to below 1"),
        ("audio-encoder.mixed=1.5", "audio_encoder.mixed = 1.5 must be between 0 and 1"),
        ("audio-encoder.temperature=0", "audio_encoder.temperature = 0 must be above 0"),
        ("audio-encoder.window-s=0", "window_s = 0 must be between 0.1 and 3600"),
        ("audio-encoder.network.front-end=loud", "front_end must be one of standardised, loudness"),
        ("audio-encoder.network.resnet.widths=[8]", "widths must be as many as audio_encoder."),
        ("audio-encoder.network.resnet.in-channels=3", "in_channels must be 1, for a spectrogram"),
        ("image-encoder.network.resnet.in-channels=1", "in_channels must be 3, for red, green and"),
        ("autoencoder.pyramid=[]", "autoencoder.pyramid must not be empty"),
        ("autoencoder.pyramid=[1, 1, 1, 1, 1, 1, 1]", "autoencoder.pyramid halves 32 px 6 times"),
        ("autoencoder.network.picture-px=40", "picture_px = 40 must be divisible by 16"),
        ("image-encoder.plan.batch=1", "image_encoder.plan.batch = 1 must be at least 2, two"),
        ("image-encoder.plan.parts=8", "image_encoder.plan.batch = 8 must be at least 16, two"),
        ("name=a/b", "name = 'a/b' must be usable as a folder's name"),
        ("name=", "name = '' must be usable as a folder's name"),
        ("generator-from=pocket", "either a table generator is needed or generator_from"),
    ],
)  # fmt: skip
def test_what_nothing_could_learn_with_is_told_before_anything_runs(tiny_recipe, change, fault):
    assert fault in fault_of(tiny_recipe, change)


def test_a_biggan_is_checked_as_a_flow_is():
    path = ROOT / "examples" / "icgan" / "128.toml"
    told = fault_of(path, "generator.critic-steps=0", "generator.critic-pace.betas=[0, 2]")
    assert "generator.critic_steps = 0 must be at least 1" in told
    assert "generator.critic_pace.betas = 2 must be from 0 to below 1" in told
    assert "critic.features = 3 must equal" in fault_of(path, "generator.critic.features=3")


def test_a_recipe_of_bytes_that_are_no_text_is_a_sentence(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_bytes(b"name = \xff")
    assert "does not fit: 'utf-8' codec can't decode" in fault_of(path)


# What extends another


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_two_recipes_that_extend_each_other_are_a_sentence(tmp_path):
    (tmp_path / "sub").mkdir()
    one = write(tmp_path / "one.toml", 'extends = "sub/../two.toml"\n')
    write(tmp_path / "two.toml", 'extends = "sub/../one.toml"\n')
    assert fault_of(one).endswith("one.toml extends itself.")


def test_of_what_is_extended_and_missing_the_name_is_told(tmp_path):
    one = write(tmp_path / "one.toml", 'extends = "sub/gone.toml"\n')
    assert f"{tmp_path / 'sub' / 'gone.toml'} cannot be read (No such file" in fault_of(one)


def test_what_is_extended_may_extend_another_and_the_nearest_wins(tiny_recipe, tmp_path):
    (tmp_path / "b").mkdir()
    write(tmp_path / "b" / "b.toml", 'extends = "../recipe.toml"\nseed = 1\nname = "b"\n')
    c = write(tmp_path / "c.toml", 'extends = "b/b.toml"\nname = "c"\n[audio_encoder]\nmasks = 0\n')
    wanted = {"name": "c", "seed": 1, "audio_encoder.masks": 0}
    assert difference(read_recipe(c), read_recipe(tiny_recipe)) == wanted


def test_a_recipe_is_read_back_from_its_tables(tiny_recipe):
    recipe = read_recipe(tiny_recipe)
    assert recipe_of(to_table(recipe)) == recipe
