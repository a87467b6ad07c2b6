"""A watch over lost, stopped and slow processes, at times that the tests set."""

import time

import pytest

from codex_jax import InputError
from codex_jax.hosts.peers import Peers
from codex_jax.hosts.watch import HostLimits, Watch
from tests.hosts.fake_client import FakeClient, FakeService

LIMITS = HostLimits(lost_after_s=10.0, timeout_s=100.0)


def make_watch(count=3, index=0, limits=LIMITS):
    """A watch that isn't begun, and the sentences that would end the process."""
    sentences = []
    peers = Peers(FakeClient(FakeService(count)), index, count)
    watch = Watch(limits, peers, sentences.append)
    return watch, sentences


def beat(watch, **activities):
    watch._update({int(k[1:]): f"{time.monotonic()} {v}" for k, v in activities.items()}, {})


def test_a_silent_process_is_lost_with_its_last_activity():
    watch, _ = make_watch()
    beat(watch, p1="step 7", p2="step 8")
    now = time.monotonic()
    assert watch.judge(now + 9) == ""
    watch._heard |= {0: now + 11, 2: now + 11}
    with watch.during("step 8"):
        sentence = watch.judge(now + 11)
    assert sentence == (
        "no sign of life for 10 s, during step 8: process 1 (step 7); dead, stopped, or cut off"
    )


def test_a_silent_coordinator_is_named():
    watch, _ = make_watch(index=1)
    beat(watch, p0="step 7", p2="step 7")
    assert "process 0, which coordinates all, didn't answer for 10 s" in watch.judge(
        time.monotonic() + 11
    )


def test_who_has_not_come_yet_gets_more_time():
    watch, _ = make_watch(count=2)
    now = time.monotonic()
    watch._heard[0] = now + 60
    assert watch.judge(now + 30) == ""
    assert "process 1 (never came)" in watch.judge(now + 55)


def test_a_long_activity_names_those_that_are_behind():
    watch, _ = make_watch()
    with watch.during("the save of step 5"):
        beat(watch, p1="the batch of step 4", p2="the save of step 5")
        end = time.monotonic() + 101
        watch._heard = dict.fromkeys(range(3), end)
        assert watch.judge(end) == (
            "the save of step 5 takes more than 100 s: process 1 (the batch of step 4)"
        )
    watch._heard = dict.fromkeys(range(3), end)
    assert watch.judge(end - 1) == ""


def test_why_another_stopped_is_told_after_a_while():
    watch, _ = make_watch()
    watch._update({}, {2: "the disk is full"})
    now = time.monotonic()
    watch._heard = dict.fromkeys(range(3), now + 16)
    assert watch.judge(now + 5) == ""
    assert watch.judge(now + 16) == "process 2 stopped, and with it the run: the disk is full"


def test_one_process_is_never_ended():
    watch = Watch(LIMITS, Peers(None, 0, 1), pytest.fail)
    with watch, watch.during("an evaluation"):
        watch.barrier("exit")
        assert watch.judge(time.monotonic() + 1e6) == ""


def test_an_absent_process_ends_a_barrier():
    watch, sentences = make_watch(count=2, limits=HostLimits(lost_after_s=10.0, timeout_s=0.1))
    watch.barrier("restored")
    assert sentences == ["barrier restored wasn't reached in 0.1 s: process 1 (never came)"]


def test_a_slow_step_is_named_once(capfd):
    watch, _ = make_watch(count=1)
    for step in range(6):
        watch.add_step(step, ())
        watch._steps.finish(step)
    watch.add_step(6, ())
    watch._name_slow_step(time.monotonic() + 0.5)
    assert capfd.readouterr().err == ""
    watch._name_slow_step(time.monotonic() + 5)
    watch._name_slow_step(time.monotonic() + 9)
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("step 6 takes 5.0 s so far, ")


def test_the_present_activity_is_the_step_on_the_devices():
    watch, _ = make_watch(count=1)
    assert watch.describe() == "the start"
    with watch.during("the loop"):
        watch.add_step(3, ())
        watch.add_step(4, ())
        assert watch.describe() == "step 3"
        watch._steps.finish(3)
        assert watch.describe() == "step 4"
        with watch.during("the batch of step 5"):
            assert watch.describe() == "the batch of step 5"
    assert watch.describe() == "the start"


def test_an_error_is_told_to_the_others(monkeypatch):
    told = []
    monkeypatch.setattr("codex_jax.hosts.watch.tell_stop", told.append)
    watch, sentences = make_watch(count=2)
    error = InputError("the disk is full; free space")
    with pytest.raises(InputError), watch:
        raise error
    assert told == [error]
    watch, _ = make_watch(count=2)
    with pytest.raises(SystemExit), watch:
        raise SystemExit(75)
    assert told == [error]
    assert sentences == []


def test_a_failed_collective_waits_for_the_verdict(monkeypatch):
    monkeypatch.setattr("codex_jax.hosts.watch.tell_stop", lambda _: None)
    limits = HostLimits(lost_after_s=0.5)
    watch, sentences = make_watch(count=2, limits=limits)
    other = Peers(watch.peers._client, 1, 2)
    other._prefix = watch.peers._prefix
    other.publish("beat", "1 step 3")
    save = watch.during("the save of step 4")
    with pytest.raises(ValueError, match="Gloo"), watch, watch.during("the loop"), save:
        raise ValueError("UNKNOWN: Gloo AllGather failed: Connection closed by peer")
    assert any("process 1 (step 3)" in sentence for sentence in sentences)
    assert "during the save of step 4, which failed (UNKNOWN: Gloo" in sentences[0]
