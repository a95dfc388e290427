"""What the processes of a crew do in tests; they import it by name."""

import os
import signal
import time
from pathlib import Path

from s2s_cli.errors import DataError


class Doubling:
    """Doubles numbers; some jobs are trouble."""

    def __init__(self, folder: Path, preparing: str | int = 0) -> None:
        """preparing: the job that each process does first."""
        self.folder, self.preparing = folder, preparing

    def __call__(self):
        with (self.folder / "processes").open("a") as file:
            file.write(f"{os.getpid()}\n")
        self.do(self.preparing, lambda: None)
        return self.do

    def do(self, job, beat):
        match job:
            case "die":
                with (self.folder / "deaths").open("a") as file:
                    file.write("x")
                os.kill(os.getpid(), signal.SIGKILL)
            case "die once":
                mark = self.folder / "died"
                if not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                return "lived"
            case "trip":
                raise RuntimeError("A fault of the code.")
            case "hang":
                time.sleep(3600)
            case "slow":
                for _ in range(50):
                    time.sleep(0.1)
                    beat()
                return "done"
            case "refuse":
                raise DataError("All of it is wrong.")
            case "who":
                time.sleep(0.2)
                return os.getpid()
            case "deaf":
                os.kill(os.getpid(), signal.SIGINT)
                return "heard nothing"
        return 2 * job
