"""A machine with a played gcloud, and hosts whose make installs a toy codex-jax."""

import json
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
WHERE = ("--name=pod", "--zone=us-central2-b")

GCLOUD = f"""#!/bin/sh
exec {sys.executable} -SE {pathlib.Path(__file__).with_name("fake_gcloud.py")} "$@"
"""
# Installs what `make install` would: a codex-jax that counts steps into metrics.jsonl on worker 0.
MAKE = """#!/usr/bin/env bash
echo "make $*" >> "$CLOUD/made"
mkdir -p .venv/bin
cp "$TOY" .venv/bin/codex-jax
"""
TOY = """#!/usr/bin/env bash
# toy train --checkpoint_dir=D --steps=N [--crash_at=S] [--crash_on=WORKER]; resumes; SIGTERM saves
trap 'echo saved; exit 75' TERM
for word in "$@"; do
    echo "<$word>"
    name=${word%%=*}
    [[ $word != --*=* ]] || printf -v "${name#--}" %s "${word#*=}"
done
[[ $1 == train ]] || exit "${status:-0}"
mkdir -p "$checkpoint_dir"
echo "$$" >> "$checkpoint_dir/started-$NODE-$WORKER"
own=$checkpoint_dir/metrics.jsonl
[[ $NODE-$WORKER == pod-0 || $NODE-$WORKER == pod-0-0 ]] || own=$checkpoint_dir/steps-$NODE-$WORKER
touch "$own"
step=$(wc -l < "$own")
first=$step
while ((step < steps)); do
    [[ $step != "${crash_at:-}" || $WORKER != "${crash_on:-$WORKER}" ]] || exit 7
    while [[ $step == "${crash_at:-}" ]]; do sleep 0.05; done # a collective without its peer
    while ((step == first + 5)) && grep -q '"preemptions": [1-9]' "$CLOUD/scenario.json"; do
        sleep 0.05 # until it is taken away
    done
    echo "{\\"step\\": $((++step)), \\"loss\\": 1.0}" >> "$own"
    sleep "${pause:-0.01}"
done
"""
CURL = """#!/bin/sh
printf "ACCELERATOR_TYPE: 'v4-16'\\nNODE_ID: '%s'\\nWORKER_ID: '%s'\\n" "$NODE" "$WORKER"
"""


class Cloud:
    """Runs scripts with the played gcloud first on PATH."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.hosts = folder / "hosts"
        self.bin = folder / "bin"
        for path in (self.bin, self.hosts, folder / "scratch"):
            path.mkdir()
        self.program("gcloud", GCLOUD)
        self.program("make", MAKE)
        self.program("curl", CURL)
        self.program("toy", TOY)
        self.program("uv", "#!/bin/sh\n[ $2 != find ] || echo /uv/python3.11\n")
        self.plan()
        self.environment = {
            "PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "TMPDIR": str(folder / "scratch"),
            "CLOUD": str(folder),
            "TOY": str(self.bin / "toy"),
        }

    def program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def plan(self, **scenario) -> None:
        (self.folder / "scenario.json").write_text(json.dumps(scenario))

    def activate(self, **scenario) -> None:
        """A resource that is ACTIVE, with hosts."""
        self.plan(states=[], **scenario)
        assert self.run("create.sh", *WHERE, "--type=v4-16").returncode == 0
        assert self.run("wait.sh", *WHERE).stdout == "pod: ACTIVE\n"
        (self.folder / "calls").unlink()

    def run(self, script: str, *flags: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [ROOT / "tpu_scripts" / script, *flags],
            env=self.environment | environment,
            capture_output=True,
            check=False,
            text=True,
            cwd=self.folder,
            timeout=300,
        )

    def start(self, script: str, *flags: str) -> subprocess.Popen:
        return subprocess.Popen(
            [ROOT / "tpu_scripts" / script, *flags],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
        )

    @property
    def calls(self) -> list[list[str]]:
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [shlex.split(line) for line in lines]

    def count(self, *words: str) -> int:
        return sum(all(word in call for word in words) for call in self.calls)

    def close(self) -> None:
        for pid in self.hosts.glob("*/codex_jax_run/pid"):
            kill = f"kill -{signal.SIGKILL} -- -$(cut -d' ' -f2 {pid})"
            subprocess.run(["bash", "-c", kill], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.hosts)


@pytest.fixture
def cloud(tmp_path):
    cloud = Cloud(tmp_path)
    yield cloud
    cloud.close()
