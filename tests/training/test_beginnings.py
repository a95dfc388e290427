"""Where training begins: at another model's weights, and not before all that it needs is there."""

import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TINY_FLOW, TINY_RESNET, add_to_tar, photos_of, randomise, sounds_of
from safetensors.torch import load_file

from s2s_cli import registry
from s2s_cli.chance import Chance
from s2s_cli.errors import DataError, RecipeError
from s2s_cli.networks.audio_encoder import AudioEncoderConfig
from s2s_cli.networks.flow import Autoencoder
from s2s_cli.networks.image_encoder import ImageEncoder, ImageEncoderConfig
from s2s_cli.networks.layers import ResNetConfig
from s2s_cli.training.recipe import (
    AudioEncoderRecipe,
    AutoencoderRecipe,
    GeneratorRecipe,
    ImageEncoderRecipe,
    Plan,
)
from s2s_cli.training.steps import (
    LearnAudioEncoder,
    LearnAutoencoder,
    LearnGenerator,
    LearnImageEncoder,
    SeenPhotos,
    encode_photos,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
PLAN = Plan(steps=2, batch=4, learning_rate=1e-3)
HEARS = AudioEncoderConfig(
    ResNetConfig(depths=(1, 1, 1, 1), widths=(8, 8, 8, 16), in_channels=1),
    features=16, front_end="loudness", relu=False,
)  # fmt: skip
EYE = ImageEncoderConfig(TINY_RESNET, squash_px=0, picture_px=32)
KEYS = [f"{scene}/{number}" for scene in ("deep", "shrill") for number in range(4)]


@pytest.fixture
def photos():
    chance = torch.Generator().manual_seed(0)
    return photos_of(KEYS, torch.randint(0, 255, (8, 3, 40, 40), generator=chance).byte())


def features() -> torch.Tensor:
    chance = torch.Generator().manual_seed(1)
    return torch.nn.functional.normalize(torch.randn(8, 16, generator=chance))


def flow_stage(photos, **settings) -> LearnGenerator:
    recipe = GeneratorRecipe(PLAN, TINY_FLOW, **{"neighbours": 2, "blend": 2, **settings})
    return LearnGenerator(
        recipe, photos, features(), randomise(Autoencoder(TINY_FLOW.autoencoder), 9)
    )


def ear_stage(photos, sounds=None, network=HEARS, pairs_by="scene", **settings):
    chance = torch.Generator().manual_seed(2)
    waves = [torch.randint(-9000, 9000, (4000,), generator=chance).short() for _ in KEYS]
    recipe = AudioEncoderRecipe(PLAN, network, **settings)
    seen = SeenPhotos(photos.keys, pairs_by, features())
    return LearnAudioEncoder(recipe, seen, sounds or sounds_of(KEYS, waves))


# At another model's weights


def test_every_stage_begins_with_the_very_weights_of_another_model(photos, tiny_model):
    model = str(tiny_model)
    theirs = {file: load_file(tiny_model / file) for file in registry.weight_files(tiny_model)}
    flow = theirs[registry.GENERATOR]

    def below(part: str) -> dict[str, torch.Tensor]:
        return {n.removeprefix(part): w for n, w in flow.items() if n.startswith(part)}

    eye = ImageEncoderRecipe(PLAN, EYE, begin_from=model, crop_px=32, expander=16)
    images = AutoencoderRecipe(PLAN, TINY_FLOW.autoencoder, begin_from=model)
    begun = [
        (LearnImageEncoder(eye, photos).encoder, theirs[registry.IMAGE_ENCODER]),
        (LearnAutoencoder(images, photos).network, below("autoencoder.")),
        (flow_stage(photos, begin_from=model).network, below("velocity.")),
        (ear_stage(photos, begin_from=model).network, theirs[registry.AUDIO_ENCODER]),
    ]
    for network, wanted in begun:
        weights = network.state_dict()
        assert weights.keys() == wanted.keys()
        assert all(torch.equal(weights[name], wanted[name]) for name in wanted)
        assert all(weight.requires_grad for weight in network.parameters())
    # And what learns of the image encoder is that very trunk.
    stage = LearnImageEncoder(eye, photos)
    assert stage.network["trunk"] is stage.encoder.trunk


def test_features_are_standardised_anew_whatever_was_gone_on_from(photos, tiny_model, tmp_path):
    """Another's statistics beneath our own would move all features into one corner."""
    other = registry.load_network_as(ImageEncoder, tiny_model / registry.IMAGE_ENCODER)
    other.feature_mean += torch.linspace(-1, 1, other.features)
    other.feature_std *= 3
    registry.save_network(tmp_path / registry.IMAGE_ENCODER, other)
    recipe = ImageEncoderRecipe(PLAN, EYE, begin_from=str(tmp_path), crop_px=32, expander=16)
    stage = LearnImageEncoder(recipe, photos)
    seen = encode_photos(stage.finish(stage.network), photos)
    assert torch.allclose(seen.mean(dim=0), torch.zeros(other.features), atol=1e-4)
    spread = seen.std(dim=0)
    assert torch.allclose(spread[spread > 0], torch.tensor(1.0), atol=1e-3)  # few always are 0
    assert (spread > 0).sum() > other.features / 2


WIDER = {
    "image-encoder": "image-encoder.network.resnet.depths=[2, 1, 1, 1]",
    "autoencoder": "autoencoder.network.depth=2",
    "generator": "generator.network.velocity.depth=2",
    "audio-encoder": "audio-encoder.network.resnet.depths=[1, 1, 1, 2]",
}


@pytest.mark.parametrize("dry", [["--dry-run"], []])
@pytest.mark.parametrize("stage", WIDER)
def test_weights_of_another_size_are_told_before_anything_is_learned(
    stage, dry, s2s, tiny_recipe, tiny_data, tiny_model, tmp_path
):
    run = tmp_path / "run"
    words = ["train", tiny_recipe, "--data", tiny_data, "-o", run, *dry]
    words += ["--set", f"{stage}.begin-from={tiny_model}"]
    said = s2s(*words, "--set", WIDER[stage])
    assert (said.code, said.out) == (1, "")
    assert f" of {tiny_model} is another network than the recipe's" in said.err
    assert said.err.count("\n") == 1
    assert not run.exists()
    assert s2s(*words).code == 0  # with its own sizes


def test_a_stage_that_is_done_needs_its_beginning_no_more(
    s2s, tiny_recipe, tiny_data, tiny_model, tmp_path
):
    gone = shutil.copytree(tiny_model, tmp_path / "gone")
    words = ["train", tiny_recipe, "--data", tiny_data, "-o", tmp_path / "run"]
    words += ["--set", f"image-encoder.begin-from={gone}"]
    assert s2s(*words, "--stage", "image-encoder").code == 0
    shutil.rmtree(gone)
    assert s2s(*words).code == 0


def test_pocket_is_fine_tuned_on_a_users_own_pairs(s2s, made_pairs, tmp_path):
    """The example at a tiny size: pocket's ears move a little, all else of it stays."""
    pocket, run = registry.find("pocket"), tmp_path / "run"
    changes = [
        "audio-encoder.plan.steps=2", "audio-encoder.plan.batch=2",
        "audio-encoder.window-s=1",
    ]  # fmt: skip
    said = s2s(
        "train", EXAMPLES / "fine_tune.toml", "--data", made_pairs, "-o", run, "-q",
        *(word for change in changes for word in ("--set", change)),
    )  # fmt: skip
    assert said.code == 0, said.err
    for file in (registry.IMAGE_ENCODER, registry.GENERATOR):
        assert (run / "model" / file).read_bytes() == (pocket / file).read_bytes()
    before, after = (load_file(folder / registry.AUDIO_ENCODER) for folder in (pocket, run))
    kernels = [name for name, weight in before.items() if weight.ndim > 1]
    assert before.keys() == after.keys()
    for name in kernels:
        moved = (after[name] - before[name].float()).norm() / before[name].float().norm()
        assert 0 < moved < 0.05, name
    assert s2s("models", "verify", run / "model").code == 0


# Not before all that is needed is there


@pytest.fixture
def paper(s2s, made_pairs, tmp_path):
    """The paper's recipe on made pairs, with these settings."""

    def paper(*changes, words=()):
        return s2s(
            "train", EXAMPLES / "sound2scene" / "paper.toml", "--data", made_pairs,
            "-o", tmp_path / "run", *words,
            *(word for change in changes for word in ("--set", change)),
        )  # fmt: skip

    return paper


DRY = pytest.mark.parametrize("dry", [("--dry-run",), ()])


@DRY
def test_features_of_unequal_length_are_a_sentence(paper, dry, tmp_path):
    said = paper("image-encoder-from=pocket", "generator-from=pocket", words=dry)
    assert (said.code, said.out) == (1, "")
    assert (
        "Features must be of one length, but audio_encoder.network.features is 2048, "
        "the image encoder of pocket gives 192, the generator of pocket takes 192: "
    ) in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@DRY
def test_another_models_generator_must_understand_the_own_image_encoder(
    dry, s2s, tiny_recipe, tiny_data, biggan_model, tmp_path
):
    text = tiny_recipe.read_text().replace("widths = [8, 8, 8, 16]", "widths = [8, 8, 8, 24]")
    start, rest = text.index("[autoencoder.plan]"), text.index("[audio-encoder.plan]")
    text = text[:start] + text[rest:].replace("features = 16", "features = 24")
    tiny_recipe.write_text(text.replace("[data]", f'generator-from = "{biggan_model}"\n[data]'))
    words = ["train", tiny_recipe, "--data", tiny_data, "-o", tmp_path / "run", *dry]
    said = s2s(*words)
    assert said.code == 1
    assert f"resnet gives 24, the generator of {biggan_model} takes 16: " in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@DRY
@pytest.mark.parametrize("setting", ["image-encoder-from", "generator-from", "begin-from"])
def test_a_missing_model_is_told_at_once(paper, setting, dry, tmp_path):
    models = {"image-encoder-from": "pocket", "generator-from": "pocket"}
    name = "audio-encoder.begin-from" if setting == "begin-from" else setting
    models[name] = "pockt"
    said = paper(
        *(f"{key}={value}" for key, value in models.items()),
        "audio-encoder.network.features=192", words=dry,
    )  # fmt: skip
    assert (said.code, said.out) == (1, "")
    assert "There is no model called 'pockt'. Did you mean 'pocket'?" in said.err
    assert not (tmp_path / "run").exists()


@DRY
def test_a_model_of_another_kind_is_told_at_once(paper, dry):
    said = paper("image-encoder-from=weather", "generator-from=pocket", words=dry)
    assert said.code == 1
    assert "image_encoder.safetensors is missing" in said.err


@DRY
@pytest.mark.parametrize("setting", ["audio-from", "critic-from"])
def test_of_a_stylizer_too(s2s, setting, dry, tiny_data, tmp_path):
    said = s2s(
        "train", EXAMPLES / "avstyle" / "pretrained.toml", "--data", tiny_data, *dry,
        "-o", tmp_path / "run", "--set", f"stylizer.{setting}=pockt", "--set",
        "stylizer.audio-learns=false", "--set", "stylizer.crop-px=32", "--set",
        "stylizer.network.features=192",
        "--set", "data.photos=photos/*.tar", "--set", "data.sounds=sounds/*.tar",
    )  # fmt: skip
    assert (said.code, said.out) == (1, "")
    assert "There is no model called 'pockt'" in said.err
    assert not (tmp_path / "run").exists()


@DRY
def test_of_a_localiser_too(s2s, dry, made_pairs, tmp_path):
    recipe = tmp_path / "localiser.toml"
    recipe.write_text(
        'name = "l"\n[data]\npairs-by = "key"\nphotos = "train-*.tar"\nsounds = "train-*.tar"\n'
        '[localiser]\nimage-from = "pockt"\n[localiser.plan]\nsteps = 1\nbatch = 2\n'
        "learning-rate = 1e-3\n"
    )
    said = s2s("train", recipe, "--data", made_pairs, *dry, "-o", tmp_path / "run")
    assert said.code == 1
    assert "There is no model called 'pockt'" in said.err
    assert not (tmp_path / "run").exists()


@DRY
@pytest.mark.parametrize("kind", ["photos", "sounds"])
def test_missing_validation_shards_are_told_at_once(
    s2s, kind, dry, tiny_recipe, tiny_data, tmp_path
):
    other = {"photos": "sounds", "sounds": "photos"}[kind]
    said = s2s(
        "train", tiny_recipe, "--data", tiny_data, "-o", tmp_path / "run", *dry,
        "--set", "audio-encoder.plan.validate-every=2",
        "--set", f"data.validation-{other}={other}/train-*.tar",
    )  # fmt: skip
    assert (said.code, said.out) == (1, "")
    assert f"There are no shards {tiny_data}/{kind}/val-*.tar: " in said.err
    assert said.err.endswith("make them too, or set audio-encoder.plan.validate-every = 0.\n")
    assert not (tmp_path / "run").exists()


# With what little there is


@DRY
def test_sounds_without_photos_are_told_at_once(s2s, dry, tiny_recipe, tiny_data, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    with (
        tarfile.open(tiny_data / "photos" / "train-000.tar") as archive,
        tarfile.open(tmp_path / "elsewhere" / "photos.tar", "w") as renamed,
    ):
        for entry in archive:
            content = archive.extractfile(entry).read()
            add_to_tar(renamed, f"elsewhere/{Path(entry.name).name}", content)
    (tmp_path / "sounds").symlink_to(tiny_data / "sounds")
    words = ["train", tiny_recipe, "--data", tmp_path, "-o", tmp_path / "run", *dry]
    said = s2s(*words, "--set", "data.photos=elsewhere/*.tar")
    assert (said.code, said.out) == (1, "")
    assert "No sound of the shards has a photo of the same scene (data.pairs-by)" in said.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("by", ["scene", "key"])
def test_no_sound_with_a_photo_is_a_sentence(by, photos):
    waves = [torch.full((4000,), 1000).short()] * 8
    sounds = sounds_of([f"elsewhere/x{number}" for number in range(8)], waves)
    with pytest.raises(DataError, match=rf"^No sound of the shards has a photo of the same {by}"):
        ear_stage(photos, sounds, pairs_by=by)


def test_no_sound_to_validate_with_is_told_before_anything_is_learned(photos):
    waves = [torch.full((4000,), 1000).short()] * 8
    lonely = sounds_of([f"elsewhere/{number}" for number in range(8)], waves)
    seen = SeenPhotos(photos.keys, "scene", features())
    with pytest.raises(DataError, match=r"^No sound of the validation shards has a photo"):
        LearnAudioEncoder(
            AudioEncoderRecipe(PLAN, HEARS), seen, sounds_of(KEYS, waves), (seen, lonely)
        )


@pytest.mark.parametrize("photos_per_sound", [1, 3])
def test_without_mixtures_louder_sounds_have_nearer_targets_all_the_same(photos_per_sound, photos):
    """No mixture has no target, which is no fault."""
    waves = [torch.full((4000,), 1000).short()] * 8
    seen = SeenPhotos(photos.keys, "scene", features(), features().flip(0))
    recipe = AudioEncoderRecipe(
        PLAN, HEARS, mixed=0.0, closeness=1.0, photos_per_sound=photos_per_sound
    )
    stage, drawn = LearnAudioEncoder(recipe, seen, sounds_of(KEYS, waves)), Chance(0)
    measures = stage.losses(stage.draw(drawn), drawn)
    assert measures["loss"].isfinite()
    assert "mixed" not in measures


def test_more_neighbours_than_photos_are_all_of_them(photos):
    stage = flow_stage(photos, neighbours=20, blend=12)
    assert stage.neighbours.shape == (8, 8)
    batches = [stage.draw(Chance(name)) for name in range(50)]
    for batch in batches:
        assert batch["near"].shape == batch["shares"].shape == (4, 8)
        assert torch.allclose(batch["shares"].sum(dim=1), torch.ones(4))
    told = {int((row > 0).sum()) for batch in batches for row in batch["shares"]}
    assert told == set(range(1, 9))  # each number of them is averaged, and none beyond


@pytest.mark.parametrize(
    "other",
    [
        replace(HEARS, resnet=replace(HEARS.resnet, depths=(1, 1, 1, 2))),
        replace(HEARS, front_end="mel"),  # which has the same weights
    ],
)
def test_weights_that_do_not_fit_are_a_sentence_for_python_users_too(other, photos, tiny_model):
    with pytest.raises(RecipeError, match="give that the same settings, or begin from scratch"):
        ear_stage(photos, network=other, begin_from=str(tiny_model))
