"""What a model's card says about it, measured: ``python tests/benchmarks/quality.py --data DIR``.

Scenes are judged in the model's own feature space, by its own image encoder: what lies nearest to a
scene's mean training photo is of that scene. These numbers compare one training run with the next,
and are no independent verdict.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from s2s_cli.data.pairs import scene_numbers
from s2s_cli.data.shards import Photos, find_shards, load_photos, load_sounds
from s2s_cli.latents import unit
from s2s_cli.networks.flow import Flow
from s2s_cli.picture.sheet import SheetEntry, contact_sheet
from s2s_cli.studio import Studio
from s2s_cli.training.augmentation import as_pictures
from s2s_cli.training.steps import encode_photos

NEIGHBOURS = 20


def shares(right: Tensor, scenes: Tensor, names: list[str]) -> str:
    """The mean over scenes, and each scene's own share, of what is right."""
    each = {name: right[scenes == n].float().mean().item() for n, name in enumerate(names)}
    told = ", ".join(f"{name} {share:.2f}" for name, share in each.items())
    return f"{sum(each.values()) / len(each):.2f}   ({told})"


def vote(features: Tensor, known: Tensor, scenes: Tensor) -> Tensor:
    """The scene of most of the nearest known features, (rows,)."""
    near = (unit(features) @ unit(known).T).topk(NEIGHBOURS, dim=1).indices
    return F.one_hot(scenes[near]).sum(dim=1).argmax(dim=1)


def reconstruction_db(flow: Flow, photos: Photos) -> float:
    """Median PSNR of the autoencoder alone."""
    side = flow.picture_px
    values = []
    for part in photos.pictures.split(32):
        pictures = as_pictures(part)[:, :, 8 : 8 + side, 8 : 8 + side]
        again = flow.autoencoder.decode(flow.autoencoder.encode(pictures)).clamp(-1, 1)
        values.append(10 * torch.log10(4 / (again - pictures).square().mean(dim=(1, 2, 3))))
    return torch.cat(values).median().item()


@torch.inference_mode()
def main() -> None:
    """Print every number, and write the sheet if asked to."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", default="pocket")
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--sheet", type=Path, help="a page over the validation sounds")
    chosen = options.parse_args()

    studio = Studio.open(chosen.model)
    encoder, hearing = studio.model.image_encoder, studio.model.audio_encoder
    assert encoder is not None
    train = load_photos(find_shards(chosen.data, "photos/train-*.tar"), 144)
    photos = load_photos(find_shards(chosen.data, "photos/val-*.tar"), 144)
    sounds = load_sounds(find_shards(chosen.data, "sounds/val-*.tar"), hearing.config.sample_rate)
    names = sorted(set(train.scenes))
    known, scenes = encode_photos(encoder, train.pictures), scene_numbers(train.scenes, names)

    seen = scene_numbers(photos.scenes, names)
    centres = unit(torch.stack([unit(known[scenes == n]).mean(dim=0) for n in range(len(names))]))

    def nearest_centre(features: Tensor) -> Tensor:
        return (unit(features) @ centres.T).argmax(dim=1)

    looked = encode_photos(encoder, photos.pictures)
    right = vote(looked, known, scenes) == seen
    print(f"photos' scene by {NEIGHBOURS} neighbours        {shares(right, seen, names)}")
    right = nearest_centre(looked) == seen
    print(f"photos seen as their scene           {shares(right, seen, names)}")
    generator = studio.model.generator
    if isinstance(generator, Flow):
        print(f"autoencoder, median PSNR in dB       {reconstruction_db(generator, photos):.1f}")

    waves = [wave.float().numpy() / 32_768 for wave in sounds.waves]
    heard = torch.stack([studio.feature_of(wave) for wave in waves])
    said = scene_numbers(sounds.scenes, names)
    ranks = (unit(heard) @ centres.T).argsort(dim=1, descending=True)
    place = (ranks == said[:, None]).float().argmax(dim=1)
    print(f"sounds heard as their scene, R@1     {shares(place < 1, said, names)}")
    print(f"sounds heard as their scene, R@5     {shares(place < 5, said, names)}")

    pictures = [studio.paint(feature, seed=0) for feature in heard]
    stack = torch.stack([torch.from_numpy(p).permute(2, 0, 1) for p in pictures])
    right = nearest_centre(encode_photos(encoder, stack)) == said
    print(f"pictures seen as their sound's scene {shares(right, said, names)}")

    if chosen.sheet:
        taken: dict[str, int] = defaultdict(int)
        entries = []
        for scene, wave, feature in zip(sounds.scenes, waves, heard, strict=True):
            taken[scene] += 1
            if taken[scene] <= 2:
                entries += [
                    SheetEntry(
                        studio.paint(feature, seed), f"{scene}, sound {taken[scene]}",
                        f"seed {seed}", wave, sounds.sample_rate,
                    )
                    for seed in (0, 1)
                ]  # fmt: skip
        page = Image.fromarray(contact_sheet(entries, cell_px=128))
        page.save(chosen.sheet, quality=90)
        print(f"{chosen.sheet}")


if __name__ == "__main__":
    main()
