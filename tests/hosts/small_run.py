"""A small training run of one process of several, with the environment that joins them.

python -m tests.hosts.small_run CHECKPOINT_DIR STEPS '{"setting": value}' '{"sabotage": value}'

Sabotage: "code" (other code), "rows" (other rows), "batch_size", "stop_at" and "kill_at" (a step
at which the process is stopped or killed), "kill_after" (seconds, in place of opening the devices),
"pause_at" and "pause" (a step and seconds), "fail" (a step).
"""

import json
import os
import signal
import sys
import time

import jax

from codex_jax import InputError, hosts
from codex_jax.hosts import HostLimits, agreement
from codex_jax.main import cli
from codex_jax.train.optimizer import Optimizer
from tests.train import counting


class Batches(counting.CountingBatches):
    """Counting rows, with faults."""

    def __init__(self, sabotage):
        super().__init__(batch_size=sabotage.get("batch_size", 16))
        self.sabotage = sabotage
        self.fingerprint = sabotage.get("rows", "counting")

    def batches(self, start, rows=None):
        for step, batch in enumerate(super().batches(start, rows), start):
            if step == self.sabotage.get("pause_at"):
                time.sleep(self.sabotage["pause"])
            if step == self.sabotage.get("kill_at"):
                os.kill(os.getpid(), signal.SIGKILL)
            if step == self.sabotage.get("stop_at"):
                os.kill(os.getpid(), signal.SIGSTOP)
            if step == self.sabotage.get("fail"):
                raise InputError("a shelf fell down; set it upright")
            yield batch


def main(directory, steps, settings="{}", sabotage="{}"):
    """Trains."""
    faults = json.loads(sabotage)
    options = json.loads(settings)
    options["host_limits"] = HostLimits(**options.pop("host_limits", {}))
    if "learning_rate" in options:
        options["optimizer"] = Optimizer(learning_rate=options.pop("learning_rate"), warmup_steps=4)
    if "code" in faults:
        # Called after joining: the facts look at the devices.
        hosts.program_facts = lambda: agreement.program_facts() | {"code": faults["code"]}
    counting.CountingBatches = lambda: Batches(faults)
    if "kill_after" in faults:
        jax.devices = lambda: (time.sleep(faults["kill_after"]), os.kill(os.getpid(), 9))
    with hosts.joined():
        counting.main(directory, steps, **options)
    return 0


if __name__ == "__main__":
    sys.exit(cli._report_errors(lambda: main(*sys.argv[1:]), ["train"]))
