"""How fast s2s is on this machine: ``make bench``. Figures to read, not tests to pass.

Everything is measured in one run and beside what the machine can do: processes against
``import torch``, networks against a plain matrix product. Run it on a quiet machine.
"""

import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from s2s_cli import registry
from s2s_cli.networks.biggan import BigGAN, fold_spectral_norm, published_128
from s2s_cli.options import DEFAULT_STYLE_MODEL
from s2s_cli.picture.photo import Photo
from s2s_cli.restyling import Restyler

ROOT = Path(__file__).parents[2]
RAIN = ROOT / "examples" / "sounds" / "rain.wav"
SIZES = {"256 px": (256, 256), "1080p": (1080, 1920)}


def seconds(work: Callable[[], object], runs: int = 5) -> float:
    """Median of a few runs, after one that warms up."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def process(*command: object) -> float:
    """How long a whole command takes."""
    line = [str(part) for part in command]
    return seconds(lambda: subprocess.run(line, check=True, capture_output=True))


def peak(dtype: torch.dtype, side: int = 2048) -> float:
    """What a large matrix product reaches, in FLOP/s."""
    a, b = torch.randn(2, side, side).to(dtype)
    return 2 * side**3 / seconds(lambda: a @ b)


def generators(network: torch.nn.Module, name: str, peaks: dict[str, float]) -> dict[str, float]:
    """Print pictures per second of a generator; returns the seconds of one picture by precision."""
    single = {}
    for precision, per_second in peaks.items():
        network.set_precision(precision)
        for batch in (1, 8):
            noise = network.noise(range(batch))
            chance = torch.Generator().manual_seed(0)
            feature = torch.randn(batch, network.features, generator=chance)
            with torch.inference_mode():
                with FlopCounterMode(display=False) as counter:
                    network.paint(noise, feature)
                took = seconds(lambda n=noise, f=feature: network.paint(n, f))
            share = counter.get_total_flops() / took / per_second
            print(
                f"{name:<22} {precision:<9} batch {batch}   {batch / took:7.2f} pictures/s"
                f"   {share:6.1%} of the peak"
            )
            if batch == 1:
                single[precision] = took
    return single


def spectral_norm_each_call() -> float:
    """Seconds for one picture when every weight is normalised anew, in float32."""
    generator = BigGAN(published_128()).eval().requires_grad_(False)
    state = dict(generator.state_dict())
    for key, weight in list(state.items()):
        if key.endswith("weight") and weight.ndim > 1:
            state[key.removesuffix("weight") + "u0"] = torch.randn(1, len(weight))
    noise, feature = generator.noise([0]), torch.randn(1, generator.features)
    with torch.inference_mode():
        return seconds(
            lambda: functional_call(generator, fold_spectral_norm(state), (noise, feature))
        )


def stylizers(peaks: dict[str, float]) -> None:
    """Print pictures per second of the shipped stylizer, beside the same network run naively.

    Naively is in float32, with the channels first, one picture a time, and with the C library's own
    ways with memory: so that comes before anything is opened for use.
    """
    folder = registry.find(DEFAULT_STYLE_MODEL)
    plain = registry.open_stylizer(folder).stylizer.to(memory_format=torch.contiguous_format)
    chance = np.random.default_rng(0)
    naive, flops = {}, {}
    for name, (height, width) in SIZES.items():
        picture, feature = torch.rand(1, 3, height, width) * 2 - 1, torch.randn(1, plain.features)
        with torch.inference_mode():
            with FlopCounterMode(display=False) as counter:
                plain(picture, feature)
            flops[name] = counter.get_total_flops()
            naive[name] = seconds(lambda p=picture, f=feature: plain(p, f), runs=3)
        print(f"weather, naively, {name:<6} {1 / naive[name]:7.2f} pictures/s")
    for precision in peaks:
        restyler = Restyler.open(folder, "cpu", precision)
        for name, (height, width) in SIZES.items():
            pixels = chance.integers(0, 256, (height, width, 3), dtype=np.uint8)
            photo, feature = Photo(pixels, None, None, "", ""), torch.randn(plain.features)
            took = seconds(lambda p=photo, f=feature, r=restyler: r.restyle(p, f), runs=3)
            share = flops[name] / took / peaks[precision]
            print(
                f"weather, {precision:<9} {name:<6} {1 / took:7.2f} pictures/s   {share:6.1%} of "
                f"the peak, {naive[name] / took:.1f} times as fast as naively"
            )


def main() -> None:
    """Print everything."""
    threads = torch.get_num_threads()
    print(f"{platform.machine()}, {threads} threads, Python {platform.python_version()}, ", end="")
    print(f"torch {torch.__version__}")
    peaks = {"float32": peak(torch.float32), "bfloat16": peak(torch.bfloat16)}
    for precision, per_second in peaks.items():
        print(f"matrix product, {precision:<9} {per_second / 1e9:8.0f} GFLOP/s (the peak)")

    print("\nWhole processes")
    s2s = [sys.executable, "-m", "s2s_cli"]
    bare = process(sys.executable, "-c", "pass")
    print(f"python -c pass         {bare:6.2f} s")
    print(f"s2s --help             {process(*s2s, '--help'):6.2f} s")
    with_torch = process(sys.executable, "-c", "import torch")
    print(f"import torch           {with_torch:6.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rain.png"
        cold = process(
            "sh", "-c", f'rm -f "{out}"; "$@"', "-", *s2s, "generate", RAIN, "--out", out
        )
    print(f"s2s generate, cold     {cold:6.2f} s   {cold - with_torch:+.2f} s to importing torch")

    print("\nStylizer: files are neither read nor written")
    stylizers(peaks)

    print("\nGenerators")
    generators(registry.open_model("pocket").generator, "pocket, 128 px", peaks)
    full = BigGAN(published_128()).eval().requires_grad_(False)
    single = generators(full, "IC-GAN BigGAN, 128 px", peaks)
    naive = spectral_norm_each_call()
    print(f"IC-GAN, spectral norm on every call, float32, batch 1: {1 / naive:.2f} pictures/s")
    for precision, took in single.items():
        print(f"  folded, {precision:<9} is {naive / took:.1f} times as fast")


if __name__ == "__main__":
    main()
