"""Trains in four processes, each in a network of its own, while faults strike; needs root.

    sudo python benchmarks/train_chaos.py --events 50 --folder /tmp/chaos

First a run without faults. Then a supervisor restarts a second one, as tpu_scripts would, while one
of these strikes at random moments, a fifth of them during the start: a process is killed or
stopped, all are killed, a network is cut, the disk fills, the newest checkpoint is truncated,
SIGTERM comes, a reader reads. At the end: wrong losses, hangs beyond the stated timeout, work lost,
stops without a sentence that names the cause; with any, the exit status is 1.
"""

import argparse
import contextlib
import inspect
import os
import pathlib
import random
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from chaos_processes import (
    PROCESSES,
    ROOT,
    SAVE_EVERY,
    SENTENCES,
    Interpreters,
    Networks,
    Run,
    call,
)

START_SECONDS = 15.0  # within which a fault strikes a start
PREEMPTED = 75


class Work:
    """Steps that the restarts lost, against the newest whole checkpoint at the fault."""

    def __init__(self) -> None:
        self.lost: list[int] = []  # steps of each restart
        self.long: list[str] = []  # restarts that lost more than a save interval, and why
        self.faults: list[str] = []
        self._before: tuple[str, int, int] | None = None
        self._restores = 0

    def stop(self, fault: str, reached: int, newest: int) -> None:
        """Notes how far a run was that a fault ended, and the step of its newest whole checkpoint.

        Where another fault came before, and no restore between, its name and its steps stay; a
        truncation changes what can be restored, and has its name.
        """
        if self._before and self._before[1] >= reached:
            former, reached, _ = self._before
            fault = fault if fault == "truncate_newest" else former
        self._before = (fault, reached, newest)

    def restore(self, steps: list[int]) -> None:
        """Judges the restores of all attempts that weren't judged yet."""
        new, self._restores = steps[self._restores :], len(steps)
        for step in new:
            if self._before:
                self._judge(step, *self._before)
            self._before = None

    def _judge(self, step: int, fault: str, reached: int, newest: int) -> None:
        lost = reached - step
        self.lost.append(lost)
        line = f"{fault} at step {reached}: {lost} steps, {newest} was whole"
        if step < newest or lost > 3 * SAVE_EVERY or (fault == "terminate" and lost > 1):
            self.faults.append(line)
        elif lost > SAVE_EVERY:
            self.long.append(line)


class Chaos:
    """Faults of a run, and what came of them."""

    def __init__(self, run: Run, chance: random.Random, expected: dict[int, float]):
        self.run = run
        self.chance = chance
        self.expected = expected
        self.counts: dict[str, int] = {}
        self.seconds: dict[str, list[float]] = {}  # fault → from it to the end of all
        self.wrong: set[int] = set()
        self.hangs: list[str] = []
        self.unexplained: list[str] = []
        self.undisturbed: list[str] = []  # ends without a fault
        self.work = Work()
        self.truncated: set[int] = set()  # inodes of checkpoints
        self.is_starting = False
        self._stopped: list[int] = []  # by SIGSTOP
        self._named: set[int] = set()  # that others must name, though they aren't killed
        self._deck: list[Callable[[], set[int]]] = []

    def draw(self) -> Callable[[], set[int]]:
        """Draws the next fault; each comes as often as the others, in random order."""
        if not self._deck:
            self._deck = [self.kill_one, self.kill_all, self.stop_one, self.cut_network]
            self._deck += [self.fill_disk, self.truncate_newest, self.terminate, self.read]
            names = self.run.settings.only.split(",")
            self._deck = [fault for fault in self._deck if names == [""] or fault.__name__ in names]
            self.chance.shuffle(self._deck)
        has_two = len(self.run.checkpoints()) > 1  # one may be lost
        possible = [f for f in self._deck if has_two or f != self.truncate_newest]
        fault = (possible or [self.kill_all])[0]
        self._deck = [f for f in self._deck if f != fault]
        return fault

    def strike(self, *, is_starting: bool) -> None:
        """Has a fault strike, waits for the end of the run, and notes what was wrong."""
        fault = self.draw()
        name, self.is_starting = fault.__name__, is_starting
        self.counts[name] = self.counts.get(name, 0) + 1
        where = "the start" if is_starting else f"step {len(self.run.steps())}"
        print(f"{time.strftime('%T')} {sum(self.counts.values())} {where}: {name}", flush=True)
        began = time.monotonic()
        victims = fault()
        if name == "read":
            return
        timeout = self.run.settings.timeout
        hanging = self.run.wait(timeout, *self._stopped)
        ended = time.monotonic() - began
        for n in self._stopped:
            self.run.running[n].send_signal(signal.SIGCONT)
        hanging += self.run.wait(timeout)
        self._stopped.clear()
        self.seconds.setdefault(name, []).append(ended)
        self.hangs += [f"{name}: process {n}" for n in hanging if n not in victims]
        self.note_end(name, victims, ended)
        for n in range(PROCESSES):
            self.run.networks.connect(n, is_up=True)
        (self.run.folder.parent / "ballast").unlink(missing_ok=True)

    def note_end(self, fault: str, victims: set[int], seconds: float) -> None:
        """Notes the losses, the steps and the sentences of an attempt that ended."""
        losses, sentences = self.run.steps(), {n: self.run.sentence(n) for n in self.run.running}
        self.wrong |= {step for step, loss in losses.items() if loss != self.expected.get(step)}
        self.work.restore(self.run.restores())
        is_whole = lambda path: path.stat().st_ino not in self.truncated  # noqa: E731
        steps = [step for step, path in self.run.checkpoints().items() if is_whole(path)]
        self.work.stop(fault, max(losses, default=-1) + 1, max(steps, default=0))
        statuses = self.run.statuses
        reasons = {n: text for n, text in sentences.items() if statuses[n] and n not in victims}
        faults = [f"process {n}: {s}" for n, s in reasons.items() if not s.startswith(SENTENCES)]
        if any(statuses.values()) and not names_cause(fault, victims | self._named, reasons):
            faults.append(f"no process names the cause: {reasons}")
        if fault == "terminate" and not victims and not set(statuses.values()) <= {0, PREEMPTED}:
            faults.append(f"statuses {statuses}")
        self.unexplained += [f"attempt {self.run.attempt}, {fault}: {text}" for text in faults]
        print(f"  after {seconds:.0f} s: statuses {list(statuses.values())}", flush=True)
        for n, text in sentences.items():
            print(f"  {n}{' (killed)' * (n in victims)}: {text[:240]}", flush=True)
        self._named = set()

    def kill_one(self) -> set[int]:
        """Kills a process."""
        n = self.chance.randrange(PROCESSES)
        self.run.kill(n)
        return {n}

    def kill_all(self) -> set[int]:
        """Kills all processes."""
        self.run.kill(*range(PROCESSES))
        return set(range(PROCESSES))

    def stop_one(self) -> set[int]:
        """Stops a process, which goes on when the others have ended."""
        n = self.chance.randrange(PROCESSES)
        self.run.running[n].send_signal(signal.SIGSTOP)
        self._stopped, self._named = [n], {n}
        return set()

    def cut_network(self) -> set[int]:
        """Cuts a process off; it and the others must say so."""
        n = self.chance.randrange(PROCESSES)
        self.run.networks.connect(n, is_up=False)
        self._named = {n}
        return set()

    def fill_disk(self) -> set[int]:
        """Fills the disk."""
        ballast = self.run.folder.parent / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as out:
            while True:
                out.write(bytes(1 << 16))
        return set()

    def truncate_newest(self) -> set[int]:
        """Kills all, and truncates the largest file of the newest checkpoint."""
        self.run.kill(*range(PROCESSES))
        newest = [*self.run.checkpoints().values()][-1]
        files = (path for path in newest.rglob("*") if path.is_file())
        path = max(files, key=lambda path: path.stat().st_size)
        os.truncate(path, path.stat().st_size // 2)
        self.truncated.add(newest.stat().st_ino)
        return set(range(PROCESSES))

    def terminate(self) -> set[int]:
        """Sends SIGTERM to a process; all must save and leave with 75.

        Before it has joined the others it is one that SIGTERM kills, as any process.
        """
        n = self.chance.randrange(PROCESSES)
        self.run.running[n].send_signal(signal.SIGTERM)
        if not self.is_starting:
            return set()
        with contextlib.suppress(TimeoutError):
            self.run.running[n].wait(5)
        return {n} if self.run.statuses[n] == -signal.SIGTERM else set()

    def read(self) -> set[int]:
        """Reads the newest checkpoint while the run goes on."""
        script = "import sys; from codex_jax.checkpoint import read_card; read_card(sys.argv[1])"
        if self.run.checkpoints():
            words = [sys.executable, "-c", script, str(self.run.folder)]
            done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=ROOT)
            if done.returncode:
                self.unexplained.append(f"read: {done.stderr[-300:]}")
        return set()

    @property
    def unnoticed(self) -> list[str]:
        """Truncated checkpoints that no restart has set aside."""
        shelf = self.run.folder / "damaged"
        aside = {path.stat().st_ino for path in shelf.iterdir()} if shelf.exists() else set()
        return [f"inode {inode}" for inode in self.truncated - aside]


def names_cause(fault: str, victims: set[int], sentences: dict[int, str]) -> bool:
    """Whether a process's last line, of some, names the fault or its victim."""
    if len(victims) == PROCESSES or not sentences:
        return True  # nobody is left to say anything
    texts = [text.removeprefix(f"codex-jax: process {n}: ") for n, text in sentences.items()]
    if fault == "fill_disk":
        return any(re.search("disk is full|No space left", text) for text in texts)
    if fault == "terminate" and not victims:
        return any(text.startswith("preempted: ") for text in texts)
    names = [rf"process(es)? (\d+(, | and ))*{n}\b" for n in victims]
    return any(re.search(name, text) for name in names for text in texts)


def await_steps(run: Run, count: int) -> str:
    """Waits until metrics.jsonl has so many steps; returns "ended" or "hangs" if it never has."""
    latest, end = -1, 0.0
    while (steps := len(run.steps())) < count:
        if any(status is not None for status in run.statuses.values()):
            return "ended"
        if steps != latest:
            latest, end = steps, time.monotonic() + run.settings.timeout
        if time.monotonic() > end:
            return "hangs"
        time.sleep(0.1)
    return ""


def await_moment(run: Run, chance: random.Random, *, is_new: bool) -> tuple[str, bool]:
    """Waits for the moment of a fault; returns await_steps' word, and whether the run starts."""
    if is_new and chance.random() < 0.2:
        time.sleep(chance.uniform(0, START_SECONDS))
        return "", True
    ahead = chance.randint(1, 2 * SAVE_EVERY)
    word = await_steps(run, min(len(run.steps()) + ahead, run.settings.steps - 1))
    time.sleep(chance.uniform(0, 2 * run.settings.pace))
    return word, False


def torment(run: Run, chaos: Chaos, events: int) -> None:
    """Runs to the last step, through so many events or until time is over."""
    run.start()
    is_new, end = True, time.monotonic() + 60 * run.settings.minutes
    while True:
        is_over = sum(chaos.counts.values()) >= events or time.monotonic() > end
        if is_over:
            word = await_steps(run, run.settings.steps)
            chaos.hangs += [f"at the end: process {n}" for n in run.wait(run.settings.timeout)]
        else:
            word, is_starting = await_moment(run, chaos.chance, is_new=is_new)
            is_new = False
            if word == "hangs":
                chaos.hangs.append(f"no step for {run.settings.timeout} s")
                run.kill(*run.running)
            elif not word:
                chaos.strike(is_starting=is_starting)
            else:
                chaos.hangs += [f"undisturbed: process {n}" for n in run.wait(run.settings.timeout)]
        if all(status == 0 for status in run.statuses.values()):
            chaos.note_end("the end", set(), 0.0)
            return
        if all(status is not None for status in run.statuses.values()):
            if is_over or word:
                chaos.undisturbed.append(f"attempt {run.attempt}: {run.statuses}")
                chaos.note_end("nothing", set(), 0.0)
                if len(chaos.undisturbed) > 5:
                    return
            run.start()
            is_new = True


def read_settings() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=inspect.cleandoc(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=50, help="faults")
    parser.add_argument("--only", default="", help="names of faults, with commas (default: all)")
    parser.add_argument("--minutes", type=float, default=600.0, help="no fault strikes later")
    parser.add_argument("--steps", type=int, default=600, help="steps of the run")
    parser.add_argument("--pace", type=float, default=0.1, help="least seconds of a batch")
    parser.add_argument("--lost_after", type=float, default=30.0, help="HostLimits.lost_after_s")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds to the end of all")
    parser.add_argument("--megabytes", type=int, default=64, help="size of the disk")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument("--folder", default="/tmp/chaos", help="of the disk and the logs")
    return parser.parse_args()


def main() -> int:
    """Runs both, and prints what was wrong."""
    settings = read_settings()
    disk = pathlib.Path(settings.folder, "disk")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.geteuid() or call("ip", "netns", "list", check=False).returncode:
        print("no chaos here: network namespaces need root and iproute2")
        return 0
    disk.mkdir(parents=True, exist_ok=True)
    (disk.parent / "logs").mkdir(exist_ok=True)
    call("mount", "-t", "tmpfs", "-o", f"size={settings.megabytes}m", "tmpfs", str(disk))
    try:
        with Networks() as networks, contextlib.ExitStack() as stack:
            interpreters = Interpreters(networks, settings)
            stack.callback(interpreters.close)
            straight, run = Run(interpreters, disk / "straight"), Run(interpreters, disk / "run")
            stack.callback(lambda: run.kill(*run.running))
            stack.callback(lambda: straight.kill(*straight.running))
            straight.start()
            if (hanging := straight.wait(3600)) or any(straight.statuses.values()):
                print(f"the run without faults: hangs {hanging}, ends {straight.statuses}")
                return 1
            chaos = Chaos(run, random.Random(settings.seed), straight.steps())
            try:
                torment(run, chaos, settings.events)
            finally:
                status = report(run, chaos)
            return status
    finally:
        call("umount", str(disk), check=False)


def report(run: Run, chaos: Chaos) -> int:
    """Prints the counts and what was wrong; returns the exit status."""
    losses, lost = run.steps(), chaos.work.lost
    absent = [step for step in chaos.expected if step not in losses]
    faults = {
        "wrong losses": sorted(chaos.wrong),
        "steps that never came": absent,
        "hangs": chaos.hangs,
        "work lost": chaos.work.faults,
        "ends without a fault": chaos.undisturbed,
        "stops without a sentence or its cause": chaos.unexplained,
        "truncated checkpoints unnoticed": chaos.unnoticed,
    }
    rows = {
        "events": f"{sum(chaos.counts.values())} {chaos.counts}",
        "attempts": run.attempt,
        "seconds to the end of all, most": {n: round(max(s)) for n, s in chaos.seconds.items()},
        "steps lost, median and most": (statistics.median(lost or [0]), max(lost or [0])),
        f"restarts that lost over {SAVE_EVERY}": (len(lost), chaos.work.long),
    }
    print("\n".join(f"{name}: {value}" for name, value in (rows | faults).items()), flush=True)
    return int(not chaos.expected or any(faults.values()))


if __name__ == "__main__":
    sys.exit(main())
