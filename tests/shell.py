"""The command line as its user meets it, without starting a process for each question."""

import ctypes
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from s2s_cli import console
from s2s_cli.app import main

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2  # linux/capability.h
PR_CAPBSET_DROP = 24  # linux/prctl.h


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Standard output, line by line."""
        return self.out.splitlines()


class Shell:
    """Runs ``s2s`` in this process."""

    def __init__(self, monkeypatch, capsys):
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> Said:
        self.capsys.readouterr()
        console.be_quiet(False)
        self.monkeypatch.setattr(sys, "argv", ["s2s", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = self.capsys.readouterr()
        assert "Traceback" not in err
        return Said(stop.value.code or 0, out, err)


def obey_permissions() -> None:
    """Root may read everything; a process started after this may not, not even as root."""
    libc = ctypes.CDLL(None)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        libc.prctl(PR_CAPBSET_DROP, capability)


def installed_s2s(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The installed command, as a shell would start it for a user who is not root."""
    command = [str(Path(sys.executable).with_name("s2s")), *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=obey_permissions if sys.platform == "linux" else None,
    )
