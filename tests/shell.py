"""The command line as its user meets it, without starting a process for each question."""

import sys
from dataclasses import dataclass

import pytest

from s2s_cli import console
from s2s_cli.app import main


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
