"""What holds for every command: help, exit codes, quick start, Ctrl-C."""

import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from typer.main import get_command

from s2s_cli import __version__
from s2s_cli.app import app

COMMANDS = list(get_command(app).commands)
HEAVY = ("torch", "torchaudio", "numpy", "PIL", "soundfile", "av", "soxr", "safetensors")


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["generate", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments):
    """This is what keeps the answer immediate; a clock would only measure the machine."""
    code = f"""
import sys
from s2s_cli.app import main
sys.argv = ["s2s", *{arguments}]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print("LOADED", *sorted(set({HEAVY}) & set(sys.modules)))
"""
    assert run_python(code).stdout.splitlines()[-1].split() == ["LOADED"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(s2s, command):
    said = s2s(command, "--help")
    assert said.code == 0
    assert f"Usage: s2s {command}" in said.out


def commands_of(group, path=()):
    """Every command below a group, with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


@pytest.mark.parametrize(
    "command", [pytest.param(c, id=words) for words, c in commands_of(get_command(app))]
)
def test_every_command_and_option_says_what_it_is_for(command):
    assert command.help
    assert [param.name for param in command.params if not param.help] == []


def test_the_version_is_printed(s2s):
    assert s2s("--version").lines == [f"s2s {__version__}"]


@pytest.mark.parametrize("arguments", [["paint"], ["generate"], ["generate", "--seed", "x", "a"]])
def test_wrong_usage_ends_with_2(s2s, arguments):
    said = s2s(*arguments)
    assert said.code == 2
    assert said.out == ""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_batch_ends_with_its_code_and_leaves_whole_pictures(
    tiny_model, tmp_path, sent, code
):
    wave = 0.3 * np.random.default_rng(0).standard_normal(16_000)
    soundfile.write(tmp_path / "noise.wav", wave, 16_000)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "s2s_cli", "generate", tmp_path / "noise.wav"]
    command += ["-n", 100_000, "-o", out, "--model", tiny_model]
    process = subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets its background jobs ignore Ctrl-C, and these tests may be one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(sent)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err
    assert all(path.suffix == ".png" and path.name[0] != "." for path in out.iterdir())


def test_a_closed_pipe_is_no_error_of_ours(tiny_model, low_wav, tmp_path):
    """``s2s generate ... | head -1``."""
    command = f"{sys.executable} -m s2s_cli generate {low_wav} -n 50 -o {tmp_path}/o -q --model"
    shell = f"{command} {tiny_model} | head -n 1"
    said = subprocess.run(shell, shell=True, capture_output=True, text=True, check=False)
    assert said.stdout.count("\n") == 1
    assert "Traceback" not in said.stderr
