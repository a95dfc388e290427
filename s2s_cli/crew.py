"""Many jobs, done by processes that may die of one without harm to the others."""

import multiprocessing
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar

from s2s_cli.errors import S2SError

Job = TypeVar("Job")
Answer = TypeVar("Answer")

Beat = Callable[[], None]  # a sign of life
Do = Callable[[Job, Beat], Answer]
PATIENCE_S = 600.0  # without a sign of life
TRIES = 2  # a process may die of its job, or because the memory was full for a moment


class Lost(Enum):
    """Why a job has no answer."""

    DIED = "died"  # the process ended in the middle of it, as often as it was tried
    HUNG = "hung"  # the process gave no sign of life any more


def answers(
    jobs: Iterable[Job],
    prepare: Callable[[], Do[Job, Answer]],
    workers: int,
    patience_s: float = PATIENCE_S,
) -> Generator[tuple[Job, Answer | Lost], None, None]:
    """Each job and its answer, as they come. Whoever may not want all of them closes it.

    Args:
        jobs: that can be pickled.
        prepare: can be pickled too; each process calls it once, and what it gives for each job.
        workers: how many processes there are at most. They are fresh ones, and end with this.
        patience_s: how long a process may give no sign of life.

    Raises:
        S2SError: from ``prepare`` or from a job, for it is about all of them; or a process died
            before it was ready for any job, as often as it was tried.
    """
    waiting = deque((job, 1) for job in jobs)
    idle: list[_Worker[Job, Answer]] = []
    busy: dict[Connection, _Worker[Job, Answer]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                worker = idle.pop() if idle else _Worker(prepare)
                busy[worker.connection] = worker
                worker.give(*waiting.popleft())
            quiet_s = time.monotonic() - min(worker.heard_at for worker in busy.values())
            wait(list(busy), max(0.0, patience_s - quiet_s))
            for worker in list(busy.values()):
                said = worker.says(patience_s)
                if said is None:
                    continue
                del busy[worker.connection]
                if isinstance(said, Lost):
                    worker.end()
                    if said is Lost.DIED and worker.tries < TRIES:
                        waiting.appendleft((worker.job, worker.tries + 1))
                    elif said is Lost.DIED and not worker.ready:  # which is no fault of the job
                        raise S2SError(
                            "The processes that share the work end before they can begin it: the "
                            "memory may be full, so try fewer of them with --workers."
                        )
                    else:
                        yield worker.job, said
                else:
                    idle.append(worker)
                    if isinstance(said, S2SError):
                        raise said
                    yield worker.job, said[0]
    finally:
        for worker in [*idle, *busy.values()]:
            worker.end()


class _Worker(Generic[Job, Answer]):
    """One process."""

    job: Job
    tries: int
    heard_at: float
    ready = False  # for jobs

    def __init__(self, prepare: Callable[[], Do[Job, Answer]]) -> None:
        context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, prepare), daemon=True)
        with (
            _deaf_to_ctrl_c()
        ):  # a terminal tells it to all processes, and this one ends the others
            self._process.start()
        theirs.close()  # so that the connection ends with the process

    def give(self, job: Job, tries: int) -> None:
        self.job, self.tries, self.heard_at = job, tries, time.monotonic()
        with suppress(OSError):  # it has died meanwhile, and ``says`` so
            self.connection.send(job)

    def says(self, patience_s: float) -> tuple[Answer] | S2SError | Lost | None:
        """The answer, or why there is none; None while it is at work."""
        while self.connection.poll():
            try:
                said: tuple[Answer] | S2SError | None = self.connection.recv()
            except (EOFError, OSError):
                return Lost.DIED
            if said is not None:
                return said
            self.ready, self.heard_at = True, time.monotonic()
        return Lost.HUNG if time.monotonic() - self.heard_at >= patience_s else None

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


def _serve(connection: Connection, prepare: Callable[[], Do[Job, Answer]]) -> None:
    """What a process does until the one that started it is gone."""
    with suppress(EOFError, ConnectionError):
        try:
            do = prepare()
            connection.send(None)
            while True:
                connection.send((do(connection.recv(), lambda: connection.send(None)),))
        except S2SError as error:
            connection.send(error)


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """What is started meanwhile never hears of it."""
    if threading.current_thread() is not threading.main_thread():  # which alone may change it
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
