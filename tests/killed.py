"""Training in processes that can be killed; they begin at once, for a server has loaded torch."""

import multiprocessing
import os
import signal
import sys

WAYS = multiprocessing.get_context("forkserver")
WAYS.set_forkserver_preload(["killed", "s2s_cli.training.curriculum"])


def start(*words: object) -> multiprocessing.Process:
    """``s2s`` with these words."""
    process = WAYS.Process(target=run, args=([str(word) for word in words],))
    process.start()
    return process


def start_and_die_at_write(number: int, *words: object) -> multiprocessing.Process:
    """The same, but it is killed in the middle of the ``number``-th file that it writes."""
    process = WAYS.Process(target=run, args=([str(word) for word in words], number))
    process.start()
    return process


def run(words: list[str], dies_at: int = 0) -> None:
    import torch

    from s2s_cli.app import main
    from s2s_cli.picture import image

    torch.set_num_threads(1)
    written, fsync = 0, os.fsync

    def counted(file: int) -> None:
        nonlocal written
        written += 1
        if written == dies_at:
            os.truncate(file, os.fstat(file).st_size // 2)  # so far the disk had come
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(file)

    image.os = type("os", (), {**vars(os), "fsync": staticmethod(counted)})
    sys.argv = ["s2s", *words]
    main()
