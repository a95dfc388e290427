"""How fast s2s learns on this machine: ``make bench-training``. Figures to read, not tests to pass.

One step of each published network at its full size, beside what a plain matrix product reaches
here, and the shards' reader beside the step that it feeds. ``--device cuda`` measures a GPU.
"""

import argparse
import io
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from s2s_cli.data.shards import find_shards, load_photos, load_sounds
from s2s_cli.latents import unit
from s2s_cli.networks.hardware import fast_precision
from s2s_cli.networks.image_encoder import ImageEncoderConfig
from s2s_cli.training.gan import LearnBigGAN
from s2s_cli.training.loop import Drawer, Stage, learn_step
from s2s_cli.training.recipe import ImageEncoderRecipe, Plan, read_recipe
from s2s_cli.training.state import State
from s2s_cli.training.steps import (
    LearnAudioEncoder,
    LearnImageEncoder,
    SeenPhotos,
    nearest,
)
from s2s_cli.training.style import LearnStylizer

EXAMPLES = Path(__file__).parents[2] / "examples"
ITEMS = 64  # photos and sounds in the shard


def make_shard(folder: Path) -> None:
    """Frames of 512 px with 10 s of sound, as large as those of published data sets."""
    chance = np.random.default_rng(0)
    with tarfile.open(folder / "train-000.tar", "w") as archive:
        for number in range(ITEMS):
            coarse = chance.integers(0, 256, (32, 32, 3), np.uint8)
            frame, sound = io.BytesIO(), io.BytesIO()
            Image.fromarray(coarse).resize((512, 512)).save(frame, "JPEG", quality=92)
            wave = 0.1 * chance.standard_normal(160_000).cumsum() % 1 - 0.5
            soundfile.write(sound, wave, 16_000, format="FLAC", subtype="PCM_16")
            for ending, file in (("0.jpg", frame), ("flac", sound)):
                entry = tarfile.TarInfo(f"{'deep' if number % 2 else 'high'}/{number:03d}.{ending}")
                entry.size = file.seek(0, io.SEEK_END)
                file.seek(0)
                archive.addfile(entry, file)


def stages(data: Path, batch: int) -> dict[str, Callable[[], Stage]]:
    """Each published network, ready to learn from the shard."""
    shards = find_shards(data, "train-*.tar")
    sounds = load_sounds(shards, 16_000, memory_gb=0)  # every item is read and decoded anew

    def changed(name: str, table: str) -> object:
        recipe = read_recipe(EXAMPLES / name, [f"{table}.plan.batch={batch}"])
        return getattr(recipe, table.replace("-", "_"))

    def features(photos: int) -> torch.Tensor:
        return unit(torch.randn(photos, 2048, generator=torch.Generator().manual_seed(0)))

    def image_encoder() -> Stage:
        plan = Plan(steps=10, batch=batch, learning_rate=1e-3)
        recipe = ImageEncoderRecipe(plan, ImageEncoderConfig(), crop_px=224)
        return LearnImageEncoder(recipe, load_photos(shards, 256, memory_gb=0))

    def audio_encoder() -> Stage:
        photos = load_photos(shards, 256, memory_gb=0)
        seen = SeenPhotos(photos.keys, "key", features(len(photos)))
        return LearnAudioEncoder(changed("sound2scene/paper.toml", "audio-encoder"), seen, sounds)

    def icgan(side: int) -> Stage:
        photos = load_photos(shards, side, memory_gb=0)
        seen = features(len(photos))
        recipe = changed(f"icgan/{side}.toml", "generator")
        return LearnBigGAN(recipe, photos, seen, nearest(seen, 50))

    def stylizer() -> Stage:
        change = ['stylizer.sources=["deep"]', 'stylizer.targets=["high"]']
        path = EXAMPLES / "avstyle/paper.toml"
        recipe = read_recipe(path, [*change, f"stylizer.plan.batch={batch}"])
        photos = load_photos(shards, recipe.data.photo_px, memory_gb=0)
        return LearnStylizer(recipe.stylizer, photos, sounds)

    return {
        "ResNet-50 trunk": image_encoder,
        "audio encoder": audio_encoder,
        "IC-GAN 128": lambda: icgan(128),
        "IC-GAN 256": lambda: icgan(256),
        "avstyle": stylizer,
    }


def seconds(work: Callable[[], object], runs: int) -> float:
    """Median of a few runs."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak(device: torch.device, dtype: torch.dtype, side: int = 4096) -> float:
    """What a large matrix product reaches, in FLOP/s."""
    a, b = torch.randn(2, side, side, device=device).to(dtype)

    def work() -> None:
        (a @ b)[0, 0].item()  # waits for it

    work()
    return 2 * side**3 / seconds(work, 5)


def measure(name: str, data: Path, device: torch.device, batch: int, steps: int) -> None:
    """Print one network's step; in a process of its own, so that its memory is its own."""
    torch.manual_seed(0)
    stage = stages(data, batch)[name]()
    parts = {
        part: sum(weight.numel() for weight in learner.network.parameters())
        for part, learner in stage.learners.items()
    }
    if isinstance(stage, LearnImageEncoder):  # without what is dropped after training
        parts = {"trunk": sum(weight.numel() for weight in stage.encoder.parameters())}
    network = stage.network.to(device).train()
    state = State(network, stage.learners, stage.plan)
    before = {key: weight.clone() for key, weight in network.named_parameters()}
    drawer = Drawer(stage, 0)
    with FlopCounterMode(display=False) as counter:
        measures = learn_step(stage, state, drawer, device)
    state.finish_step()
    finite = all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)
    moved = sum(not torch.equal(p, before[key]) for key, p in network.named_parameters())
    print(
        f"{name}, batch {batch}: "
        + ", ".join(f"{part} {count / 1e6:.3f} million" for part, count in parts.items())
        + f"; loss {measures['loss']:.3f}, gradients {'finite' if finite else 'NOT FINITE'}, "
        f"{moved} of {len(before)} weights moved"
    )
    drawn = iter([drawer.draw(0)] * (steps + 1))
    drawer.parts = lambda _: next(drawn)  # the step alone, without what it waits for

    def step() -> None:
        learn_step(stage, state, drawer, device)

    took = seconds(step, steps)
    reading = seconds(lambda: drawer.draw(1), 3)
    precision = fast_precision(device.type)
    most = peak(device, getattr(torch, precision))
    if device.type == "cuda":
        memory = torch.cuda.max_memory_allocated() / 1e9
    else:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"  step {took:.2f} s ({precision}), {counter.get_total_flops() / took / most:.0%} of the "
        f"{most / 1e9:.0f} GFLOP/s of a matrix product; {memory:.1f} GB; "
        f"reading {reading:.3f} s, {took / reading:.1f} times as fast as the step"
    )


def main() -> None:
    """Print everything."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--device", default="cpu")
    words.add_argument("--batch", type=int, default=4)
    words.add_argument("--steps", type=int, default=2)
    words.add_argument("--only", help="one network, with the shard in --data")
    words.add_argument("--data", type=Path)
    given = words.parse_args()
    if given.only:
        device = torch.device(given.device)
        return measure(given.only, given.data, device, given.batch, given.steps)
    with tempfile.TemporaryDirectory() as folder:
        make_shard(Path(folder))
        for name in stages(Path(folder), given.batch):
            again = ["--only", name, "--data", folder]
            subprocess.run([sys.executable, __file__, *sys.argv[1:], *again], check=True)


if __name__ == "__main__":
    main()
