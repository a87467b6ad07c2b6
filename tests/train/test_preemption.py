"""SIGTERM: the step under way is saved, the exit status is 75, the run goes on from there."""

import json
import os
import signal

import pytest

from codex_jax.train.preemption import Preempted, PreemptionNotice
from tests.train import counting


class PreemptedBatches(counting.CountingBatches):
    """Counting rows during whose step `signal_step` SIGTERM comes."""

    def __init__(self, signal_step: int):
        super().__init__()
        self.signal_step = signal_step

    def batches(self, start, rows=None):
        for step, batch in enumerate(super().batches(start, rows), start):
            if step == self.signal_step:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch


def losses(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["loss"] for line in lines}


@pytest.mark.parametrize("signal_step", [0, 3, 4, 6])
def test_sigterm_loses_no_step_and_the_run_goes_on_bit_for_bit(tmp_path, monkeypatch, signal_step):
    counting.main(str(tmp_path / "straight"), 8)
    with monkeypatch.context() as patch:
        patch.setattr(counting, "CountingBatches", lambda: PreemptedBatches(signal_step))
        with pytest.raises(SystemExit) as caught:
            counting.main(str(tmp_path / "preempted"), 8)
    assert caught.value.code == 75
    assert caught.value.step == signal_step + 1
    assert (tmp_path / "preempted" / str(signal_step + 1) / "card").is_dir()
    counting.main(str(tmp_path / "preempted"), 8)
    assert losses(tmp_path / "preempted") == losses(tmp_path / "straight")


def test_sigterm_during_the_last_step_is_an_ended_run(tmp_path, monkeypatch):
    monkeypatch.setattr(counting, "CountingBatches", lambda: PreemptedBatches(7))
    counting.main(str(tmp_path), 8)
    assert max(losses(tmp_path)) == 7


def test_the_handler_before_is_back_afterwards():
    former = signal.getsignal(signal.SIGTERM)
    with PreemptionNotice() as notice:
        assert not notice.is_due(3)
        os.kill(os.getpid(), signal.SIGTERM)
        assert notice.is_due(4)
    assert signal.getsignal(signal.SIGTERM) is former


def test_a_closed_terminal_is_a_notice_unless_nohup_ignores_it():
    former = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    with PreemptionNotice() as notice:
        os.kill(os.getpid(), signal.SIGHUP)
        assert notice.is_due(1)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with PreemptionNotice() as notice:
        os.kill(os.getpid(), signal.SIGHUP)
        assert not notice.is_due(1)
    signal.signal(signal.SIGHUP, former)


def test_the_exception_names_its_step_and_status():
    assert (Preempted(7).step, Preempted(7).code) == (7, 75)
