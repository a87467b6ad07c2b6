"""A killed build resumes: nothing finished is done again, and the rows are the undisturbed ones."""

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
from codex_jax.data.corpus import SourceTree

# Builds are forked from one process, each killed by itself at a random file operation.
DRIVER = """
import json, os, signal, sys
import codex_jax.data.shards.shards as shards
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.corpus import SourceTree

root, tokenizer, output, kills, log = json.loads(sys.argv[1])
shards._SHARD_FILES = 5
build_shard = shards.ShardBuilder.build

def run(kill_at):
    events = 0

    def audit(event, _):
        nonlocal events
        if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            events += 1
            if events == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def log_and_build(self, shard):
        with open(log, "a") as lines:
            lines.write(shard.name + "\\n")
        build_shard(self, shard)

    from codex_jax.data.build import build  # brings TensorStore, which must not be forked

    shards.ShardBuilder.build = log_and_build
    sys.addaudithook(audit)
    tree = SourceTree(path=root)
    build(corpus={"tree": tree}, tokenizer=tokenizer, output=output, sequence_length=64,
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
        corpus={"tree": SourceTree(path=str(tree))},
        tokenizer=tokenizer_file,
        output=output,
        sequence_length=64,
        cleaning=Cleaning(near_duplicates=0.9),
    )


def _files(folder: pathlib.Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("seed", range(3))
def test_killed_anywhere_it_resumes(tree, tokenizer_file, undisturbed, tmp_path, seed):
    never = 0
    kills = [*sorted(random.Random(seed).choices(range(5, 150), k=5)), never]
    settings = [str(tree), str(tokenizer_file), str(tmp_path / "c"), kills, str(tmp_path / "log")]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(settings)],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    killed = done.stdout.splitlines().count(str(int(signal.SIGKILL)))
    assert killed
    built = (tmp_path / "log").read_text().splitlines()
    assert len(built) <= len(set(built)) + killed  # a kill costs the shard it falls into
    assert _files(tmp_path / "c") == undisturbed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "log"]


def test_workers_end_with_the_build_and_change_nothing(tree, tokenizer_file, undisturbed, tmp_path):
    program = DRIVER.split("build_shard = ")[0] + (
        "from codex_jax.data.build import build\n"
        "tree = SourceTree(path=root)\n"
        "build(corpus={'tree': tree}, tokenizer=tokenizer, output=output, workers=2,\n"
        "      sequence_length=64, cleaning=Cleaning(near_duplicates=0.9))\n"
    )
    settings = [str(tree), str(tokenizer_file), str(tmp_path / "c"), [], ""]
    command = [sys.executable, "-c", program, json.dumps(settings)]
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while killed.poll() is None and not list(tmp_path.glob("partial-c/shards/*.json")):
        time.sleep(0.01)
    killed.kill()
    killed.stderr.read()  # ends when the last worker has
    killed.wait()
    killed.stderr.close()
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert _files(tmp_path / "c") == undisturbed
