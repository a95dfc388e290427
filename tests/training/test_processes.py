"""Two processes that share a batch learn what one does that has it all."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from s2s_cli.training import processes
from s2s_cli.training.processes import WholeBatchNorm

FILES = ["audio_encoder.safetensors", "generator.safetensors", "image_encoder.safetensors"]

pytestmark = pytest.mark.timeout(900)  # a busy machine may be many times slower


def losses(run):
    return {
        (entry["stage"], entry["step"]): entry["loss"]
        for entry in map(json.loads, (run / "log.jsonl").open())
    }


def test_two_processes_take_the_steps_of_one(s2s, tiny_recipe, tiny_data, tmp_path):
    # Small differences grow from step to step, so few are compared, and in full precision.
    words = ["train", tiny_recipe, "--data", tiny_data, "-q"]
    words += ["--set", "audio-encoder.mixed=0.5"]  # one of two: as many in each half
    for stage in ("image-encoder", "autoencoder", "generator", "audio-encoder"):
        words += ["--set", f"{stage}.plan.steps=2", "--set", f"{stage}.plan.learning-rate=1e-4"]
        words += ["--set", f"{stage}.plan.precision=float32"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    here = subprocess.run(
        [
            *torchrun, "--nproc-per-node", "2", "-m", "s2s_cli",
            *map(str, words), "-o", tmp_path / "two",
        ],
        capture_output=True, text=True,
    )  # fmt: skip
    assert here.returncode == 0, here.stderr
    assert here.stdout.split() == [str(tmp_path / "two" / "model")]  # the first one speaks alone
    assert s2s(*words, "-o", tmp_path / "one").code == 0
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert one.keys() == two.keys()
    assert len(one) == 4
    for entry, loss in one.items():
        assert two[entry] == pytest.approx(loss, rel=2e-3), entry
    for name in FILES:
        alone, shared = (load_file(tmp_path / run / "model" / name) for run in ("one", "two"))
        for key, weight in alone.items():
            torch.testing.assert_close(
                shared[key].float(), weight.float(), atol=3e-3, rtol=0, msg=f"{name} {key}"
            )


def test_a_norm_of_the_whole_batch_is_torchs_own_where_all_of_it_is_here():
    x = torch.randn(6, 4, 5, 5, generator=torch.Generator().manual_seed(0)) * 3 + 1
    theirs, ours = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
    ours.__class__ = WholeBatchNorm
    for norm in (theirs, ours):
        nn.init.normal_(norm.weight, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ours(x), theirs(x))
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_alone_nothing_is_shared():
    x = torch.randn(3, 2)
    assert processes.gathered(x) is x
    assert processes.averaged(x) is x
    assert (processes.rank(), processes.count()) == (0, 1)
    network = nn.Sequential(nn.BatchNorm2d(2))
    processes.share_norms(network)
    assert type(network[0]) is nn.BatchNorm2d


def test_a_batch_that_cannot_be_shared_out_is_a_sentence(s2s, tiny_recipe, tiny_data, tmp_path):
    said = s2s(
        "train", tiny_recipe, "--data", tiny_data, "-o", tmp_path,
        "--set", "image-encoder.plan.parts=3",
    )  # fmt: skip
    assert said.code == 1
    assert "batch = 8 must be divisible by parts = 3" in said.err
