"""A killed build goes on: nothing finished is done again, and the cache is the undisturbed one."""

import hashlib
import json
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

from codex_jax.data.build import build
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.corpus import Tree

# Builds are forked from one process, each killed by itself at a file operation that was drawn.
DRIVER = """
import json, os, signal, sys
import codex_jax.data.shards.shards as parts
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.corpus import Tree

root, tokenizer, output, kills, log = json.loads(sys.argv[1])
parts._PART_FILES = 5
make = parts.Maker.make

def run(kill_at):
    events = 0

    def audit(event, _):
        nonlocal events
        if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            events += 1
            if events == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def logged(self, part):
        with open(log, "a") as lines:
            lines.write(part.name + "\\n")
        make(self, part)

    from codex_jax.data.build import build  # brings TensorStore, which must not be forked

    parts.Maker.make = logged
    sys.addaudithook(audit)
    build(corpus={"tree": Tree(path=root)}, tokenizer=tokenizer, output=output, sequence_length=64,
          cleaning=Cleaning(near_duplicates=0.9), workers=0)

for kill_at in kills:
    child = os.fork()
    if not child:
        run(kill_at)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    print(status, flush=True)
"""


@pytest.fixture(scope="module")
def undisturbed(tree, tokenizer_file, tmp_path_factory) -> dict[str, str]:
    output = tmp_path_factory.mktemp("undisturbed") / "c"
    _build(tree, tokenizer_file, output)
    return _files(output)


def _build(tree, tokenizer_file, output):
    build(
        corpus={"tree": Tree(path=str(tree))},
        tokenizer=tokenizer_file,
        output=output,
        sequence_length=64,
        cleaning=Cleaning(near_duplicates=0.9),
    )


def _files(cache: pathlib.Path) -> dict[str, str]:
    return {
        path.relative_to(cache).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in cache.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("seed", range(3))
def test_killed_anywhere_it_goes_on(tree, tokenizer_file, undisturbed, tmp_path, seed):
    never = 0
    kills = [*sorted(random.Random(seed).choices(range(5, 150), k=5)), never]
    settings = [str(tree), str(tokenizer_file), str(tmp_path / "c"), kills, str(tmp_path / "log")]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(settings)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    killed = done.stdout.splitlines().count(str(int(signal.SIGKILL)))
    assert killed
    made = (tmp_path / "log").read_text().splitlines()
    assert len(made) <= len(set(made)) + killed  # a kill costs the part it falls into
    assert _files(tmp_path / "c") == undisturbed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "log"]


def test_workers_end_with_the_build_and_change_nothing(tree, tokenizer_file, undisturbed, tmp_path):
    program = DRIVER.split("make = ")[0] + (
        "from codex_jax.data.build import build\n"
        "build(corpus={'tree': Tree(path=root)}, tokenizer=tokenizer, output=output, workers=2,\n"
        "      sequence_length=64, cleaning=Cleaning(near_duplicates=0.9))\n"
    )
    settings = [str(tree), str(tokenizer_file), str(tmp_path / "c"), [], ""]
    command = [sys.executable, "-c", program, json.dumps(settings)]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while killed.poll() is None and not list(tmp_path.glob("partial-c/parts/*.json")):
        time.sleep(0.01)
    killed.kill()
    killed.stderr.read()  # ends when the last worker has
    killed.wait()
    killed.stderr.close()
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert _files(tmp_path / "c") == undisturbed


def test_a_worker_that_dies_is_one_line(tree, tokenizer_file, tmp_path, monkeypatch):
    from codex_jax import InputError
    from codex_jax.data.shards import worker_pool

    monkeypatch.setattr(worker_pool.sys, "executable", "/bin/false")
    with pytest.raises(InputError, match=r"a worker died \(status 1\) at the settings"):
        build(
            corpus={"tree": tree},
            tokenizer=tokenizer_file,
            output=tmp_path / "c",
            sequence_length=64,
            workers=2,
        )
