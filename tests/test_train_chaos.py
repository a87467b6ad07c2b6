"""benchmarks/train_chaos.py: its verdicts on sentences and on lost work, without any process."""

import pytest
import train_chaos as chaos

LOST = "codex-jax: process 0: no sign of life for 10 s, during step 3: process 2 (step 3); dead"
GONE = "codex-jax: process 3: process 0, which coordinates all, is gone, or ended the run"


@pytest.mark.parametrize(
    ("fault", "victims", "sentences", "is_named"),
    [
        ("kill_one", {2}, {0: LOST, 3: GONE}, True),
        ("kill_one", {3}, {0: LOST}, False),  # "step 3" is no process
        ("kill_one", {0}, {3: GONE}, True),
        ("kill_one", {3}, {3: GONE}, False),  # its own number is no name of another
        ("stop_one", {2}, {0: "processes 1, 2 and 3 didn't start within 60 s"}, True),
        ("fill_disk", set(), {0: "codex-jax train: /d: the disk is full"}, True),
        ("fill_disk", set(), {0: LOST}, False),
        ("terminate", set(), {0: "preempted: step 7 is saved; run the same command again"}, True),
        ("terminate", set(), {0: LOST}, False),
        ("kill_all", {0, 1, 2, 3}, {}, True),
    ],
)
def test_causes(fault, victims, sentences, is_named):
    assert chaos.names_cause(fault, victims, sentences) == is_named


def test_lost_work_is_held_against_the_newest_whole_checkpoint():
    work = chaos.Work()
    work.stop("kill_one", 27, 20)
    work.restore([20])
    work.stop("kill_all", 41, 30)  # a save of step 40 was under way
    work.restore([20, 30])
    assert (work.lost, work.faults) == ([7, 11], [])
    assert work.long == ["kill_all at step 41: 11 steps, 30 was whole"]
    work.stop("terminate", 50, 50)
    work.restore([20, 30, 40])
    assert work.faults == ["terminate at step 50: 10 steps, 50 was whole"]


def test_a_second_fault_before_a_restore_adds_nothing():
    work = chaos.Work()
    work.stop("terminate", 33, 33)
    work.stop("kill_all", 33, 33)  # during the start
    work.restore([33])
    assert (work.lost, work.faults, work.long) == ([0], [], [])
    work.stop("terminate", 45, 45)
    work.stop("truncate_newest", 45, 33)
    work.restore([33, 33])
    assert (work.lost[-1], work.faults) == (12, [])
