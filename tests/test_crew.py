"""A crew answers every job it can, however many processes die of the others."""

import multiprocessing
import os
import signal
from contextlib import closing
from threading import Thread

import pytest
from crews import Doubling

from s2s_cli.crew import Lost, answers
from s2s_cli.errors import DataError, S2SError


@pytest.fixture
def doubling(tmp_path) -> Doubling:
    return Doubling(tmp_path)


@pytest.fixture(autouse=True)
def _no_process_is_left(doubling):
    yield
    assert multiprocessing.active_children() == []
    for process in begun(doubling):
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def begun(doubling: Doubling) -> list[int]:
    """The processes that there were, by their numbers."""
    path = doubling.folder / "processes"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_has_its_own_answer(doubling, workers):
    jobs = list(range(9))
    assert sorted(answers(jobs, doubling, workers)) == [(job, 2 * job) for job in jobs]
    assert len(begun(doubling)) == workers  # each prepared itself once


def test_without_jobs_no_process_begins(doubling):
    assert list(answers([], doubling, 2)) == []
    assert begun(doubling) == []


def test_the_work_is_shared_by_no_more_processes_than_asked_for_or_needed(doubling):
    did = {process for _, process in answers(["who"] * 6, doubling, 2)}
    assert did == set(begun(doubling))
    assert len(did - {os.getpid()}) == 2
    assert dict(answers([1, 2], doubling, 9)) == {1: 2, 2: 4}
    assert len(begun(doubling)) == 4


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("fault", ["die", "trip"])
def test_a_job_that_kills_is_tried_once_more_and_the_others_go_on(doubling, workers, fault):
    said = list(answers([1, fault, 2, 3], doubling, workers))
    assert dict(said) == {1: 2, fault: Lost.DIED, 2: 4, 3: 6}
    assert len(said) == 4
    if fault == "die":
        assert (doubling.folder / "deaths").read_text() == "xx"


def test_a_job_whose_process_died_by_chance_lives(doubling):
    assert dict(answers([1, "die once", 2], doubling, 1)) == {1: 2, "die once": "lived", 2: 4}


def test_who_gives_no_sign_of_life_is_given_up_and_who_is_slow_is_not(doubling):
    said = dict(answers([1, "hang", "slow"], doubling, 2, patience_s=4.0))
    assert said == {1: 2, "hang": Lost.HUNG, "slow": "done"}  # after 5 s, with a beat in each 0.1
    assert len(begun(doubling)) == 2  # it was not tried again


def test_what_is_wrong_with_all_ends_all(doubling):
    with pytest.raises(DataError, match=r"^All of it is wrong\.$"):
        list(answers(["refuse", *range(1000)], doubling, 1))
    with pytest.raises(DataError, match=r"^All of it is wrong\.$"):
        list(answers([1, 2], Doubling(doubling.folder, preparing="refuse"), 2))


def test_processes_that_die_before_they_begin_are_no_fault_of_any_job(doubling):
    """Else a whole data set would count as broken where the memory is too small for a model."""
    with pytest.raises(S2SError, match=r"end before they can begin it: .* --workers\.$"):
        list(answers([1, 2], Doubling(doubling.folder, preparing="die"), 1))
    assert (doubling.folder / "deaths").read_text() == "xx"
    once = Doubling(doubling.folder, preparing="die once")
    assert dict(answers([1, 2], once, 1)) == {1: 2, 2: 4}


def test_ctrl_c_does_not_reach_the_processes_and_is_heard_again_by_this_one(doubling):
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append("Ctrl-C"))
    try:
        assert list(answers(["deaf"], doubling, 1)) == [("deaf", "heard nothing")]
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == ["Ctrl-C"]


def test_whoever_has_heard_enough_leaves_no_process_behind(doubling):
    with closing(answers(["hang", 1], doubling, 2)) as said:
        assert next(said) == (1, 2)
        assert len(multiprocessing.active_children()) == 2
    assert multiprocessing.active_children() == []


def test_other_threads_may_have_a_crew_too(doubling):
    """Signals are the main thread's alone."""
    said = []
    thread = Thread(target=lambda: said.extend(answers([1, 2], doubling, 1)))
    thread.start()
    thread.join()
    assert said == [(1, 2), (2, 4)]
