"""What a run tells while it goes on: numbers and pictures, for eyes, programs and TensorBoard."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from s2s_cli.errors import OutputError, RecipeError
from s2s_cli.picture.image import Picture, draft_of, to_uint8, write_atomically

LOG, RECIPE = "log.jsonl", "recipe.json"  # in a run's folder
EVERY = 20  # steps between two entries
STOPPED = "stopped"  # of an entry behind which the run was told to stop
RUNS_S = 600  # a stage that told nothing for longer is taken to have stopped


class Journal:
    """The log of one stage: ``log.jsonl``, sheets of pictures, and TensorBoard's files.

    TensorBoard's are left out where it is not installed.
    """

    def __init__(self, run: Path, stage: str, first_step: int) -> None:
        """first_step: what was logged of later ones is forgotten, because they come again."""
        self.run, self.stage, self.since = run, stage, time.monotonic()
        kept = [
            entry
            for entry in read_log(run)
            if entry["stage"] != stage or entry["step"] <= first_step
        ]
        for entry in kept:
            if entry["stage"] == stage:
                entry.pop(STOPPED, None)  # it goes on
        text = "".join(json.dumps(entry) + "\n" for entry in kept)
        write_atomically(run / LOG, text.encode())
        self.board = open_board(run / "tensorboard" / stage, first_step)

    def record(
        self, step: int, measures: Mapping[str, float], per_second: float, stops: bool = False
    ) -> None:
        """What a step measured, and how many items a second were learned from lately.

        stops: whether it is the last one before the run is taken up again.

        Raises:
            OutputError: the disk takes no more; so do all others here.
        """
        now = time.monotonic()
        seconds, self.since = now - self.since, now
        entry = {"stage": self.stage, "step": step, **measures, "per_second": per_second}
        entry |= {"seconds": round(seconds, 3), "time": round(time.time(), 1)}
        entry |= {STOPPED: True} if stops else {}
        path = self.run / LOG
        with writable(path), path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        if self.board is not None:
            self.board.add_scalars({**measures, "per_second": per_second}, step)

    def show(self, step: int, pictures: Tensor, columns: int) -> None:
        """Pictures (count, 3, h, w) in [-1, 1], as a sheet of so many columns."""
        count, _, height, width = pictures.shape
        rows = -(-count // columns)
        page = pictures.new_full((3, rows * height, columns * width), 1.0)
        for number, picture in enumerate(pictures):
            top, left = number // columns * height, number % columns * width
            page[:, top : top + height, left : left + width] = picture
        sheet = to_uint8(page.float().cpu().numpy())
        with draft_of(self.run / "sheets" / f"{self.stage}-{step:07d}.png") as file:
            Image.fromarray(sheet).save(file, "PNG")
        if self.board is not None:
            self.board.add_image("pictures", sheet, step)

    def close(self) -> None:
        """Nothing more will come."""
        if self.board is not None:
            self.board.close()


class Board:
    """TensorBoard's file of a stage.

    torch's own writer works in a thread of its own, where a kill loses two minutes and a full disk
    ends in a traceback. Here every event is on the disk before the next step.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        """first_step: what earlier files tell of later ones, TensorBoard forgets.

        Raises:
            ImportError: TensorBoard is not installed.
        """
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter
        from torch.utils.tensorboard import summary

        self.protocol, self.summary = event_pb2, summary
        # They are read in the order of their names.
        self.path = folder / f"events.out.tfevents.{time.time():.6f}"
        with writable(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            self.records = RecordWriter(self.path.open("wb"))
        began = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self.add(file_version="brain.Event:2")
        self.add(step=first_step + 1, session_log=began)

    def add(self, **event: Any) -> None:
        """One event."""
        told = self.protocol.Event(wall_time=time.time(), **event)
        with writable(self.path):
            self.records.write(told.SerializeToString())
            self.records.flush()

    def add_scalars(self, measures: Mapping[str, float], step: int) -> None:
        """Numbers by name."""
        for name, value in measures.items():
            self.add(step=step, summary=self.summary.scalar(name, value))

    def add_image(self, name: str, picture: Picture, step: int) -> None:
        """picture: (height, width, 3)."""
        self.add(step=step, summary=self.summary.image(name, picture, dataformats="HWC"))

    def close(self) -> None:
        """What a full disk did not take was told already."""
        with suppress(OSError):
            self.records.close()


def open_board(folder: Path, first_step: int) -> Board | None:
    """None where TensorBoard is not installed."""
    try:
        return Board(folder, first_step)
    except ImportError:
        return None


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """What the disk says against one more line, as one sentence."""
    try:
        yield
    except OSError as fault:
        raise OutputError(
            f"Cannot write '{path}' ({fault.strerror}): "
            "free some space and run the command again, or choose another place with --out."
        ) from None


def read_log(run: Path) -> list[dict[str, Any]]:
    """Every whole entry; a kill may have left half of the last one."""
    path = run / LOG
    if not path.exists():
        return []
    entries = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries


@dataclass(frozen=True)
class StageProgress:
    """How far a stage has come."""

    stage: str
    steps: int  # that are planned
    step: int  # that the log tells last
    state: str  # "waiting", "running", "stopped" or "done"
    measures: Mapping[str, float]  # of that step
    per_second: float | None  # items lately
    seconds_left: float | None  # while it runs
    seconds_ago: float | None  # since the log's last entry


def progress_of(run: Path) -> list[StageProgress]:
    """How far each stage of a run has come, asked from outside while it goes on.

    Raises:
        RecipeError: there is no run.
    """
    from s2s_cli.training.recipe import recipe_of

    try:
        recipe = recipe_of(json.loads((run / RECIPE).read_text(encoding="utf-8")))
    except (OSError, ValueError) as fault:
        raise RecipeError(
            f"{run} holds no run that can be read: give the folder that s2s train was told with "
            "--out."
        ) from fault
    last = {entry.pop("stage"): entry for entry in read_log(run)}
    stages = []
    for name, plan in recipe.stages.items():
        entry = last.get(name, {})
        step, per_second = entry.pop("step", 0), entry.pop("per_second", None)
        told = entry.pop("time", None)
        entry.pop("seconds", None)
        stopped = entry.pop(STOPPED, False)
        ago = None if told is None else max(0.0, time.time() - told)
        if file_of(run, name).exists():
            state = "done"
        elif ago is None:
            state = "waiting"
        else:
            state = "stopped" if stopped or ago >= RUNS_S else "running"
        left = (plan.steps - step) * plan.batch / per_second if per_second else None
        stages.append(
            StageProgress(
                stage=name,
                steps=plan.steps,
                step=step,
                state=state,
                measures=entry,
                per_second=per_second,
                seconds_left=left if state == "running" else None,
                seconds_ago=ago if state != "done" else None,
            )
        )
    return stages


def file_of(run: Path, stage: str) -> Path:
    """Where a stage leaves what it learned."""
    return run / f"{stage.replace('-', '_')}.safetensors"
