"""Chunks of jobs: few problems each, every job once, lost ones one by one."""

import random
import shutil

import pytest

from codex_jax import InputError
from codex_jax.evaluate.judging import pool
from codex_jax.evaluate.judging.pool import Job, _JobQueue
from codex_jax.evaluate.sandbox.sandbox import Limits

MANY = 10_000


def jobs(*counts: int) -> list[Job]:
    return [Job(f"p{i}", f"source {n}") for i, count in enumerate(counts) for n in range(count)]


def test_a_chunk_has_programs_of_few_problems():
    waiting = _JobQueue(jobs(*[1] * MANY), workers=1)
    assert waiting.next_chunk(0) == jobs(*[1] * 8)


def test_a_worker_keeps_its_problem_and_others_take_the_next():
    waiting = _JobQueue(jobs(40, 40, MANY), workers=1)
    first, second, third = (waiting.next_chunk(worker) for worker in (0, 1, 0))
    assert [{job.problem for job in chunk} for chunk in (first, second)] == [{"p0"}, {"p1"}]
    assert [job.problem for job in third] == ["p0"] * 8 + ["p2"] * 24


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_job_is_handed_out_once(workers):
    rng = random.Random(workers)
    every = jobs(*(rng.randrange(50) for _ in range(30)))
    waiting, taken = _JobQueue(every, workers), []
    while chunk := waiting.next_chunk(rng.randrange(workers)):
        taken += chunk
    assert sorted(taken, key=every.index) == every
    assert waiting.exhausted.is_set()


def test_jobs_of_a_lost_worker_come_one_by_one_and_first():
    waiting = _JobQueue(jobs(MANY), workers=1)
    chunk = waiting.next_chunk(0)
    waiting.requeue(chunk[2:4])
    assert [waiting.next_chunk(1) for _ in range(2)] == [[chunk[2]], [chunk[3]]]
    assert len(waiting.next_chunk(1)) == len(chunk)


def test_long_programs_are_not_sent_together():
    long = [Job("p", "x" * (1 << 20)) for _ in range(MANY)]
    assert len(_JobQueue(long, workers=1).next_chunk(0)) == 1


def test_a_worker_that_ends_as_it_starts_is_a_line(monkeypatch):
    monkeypatch.setattr(pool.sys, "executable", shutil.which("false"))
    with (
        pool.Pool({}, sandbox="auto", limits=Limits(), workers=1) as judges,
        pytest.raises(InputError, match=r"ended \d times as it started, with status 1;"),
    ):
        judges.sandbox_info()
