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

import torch
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from s2s_cli import registry
from s2s_cli.networks.biggan import BigGAN, fold_spectral_norm, published_128

ROOT = Path(__file__).parents[2]
RAIN = ROOT / "examples" / "sounds" / "rain.wav"


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
