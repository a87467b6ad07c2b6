"""The commands of README and of docs/ are run: in their order, on less data and for fewer steps."""

import pathlib
import shlex

import pytest

from codex_jax.main import cli
from tests.test_architecture import ROOT
from tests.test_docs import blocks, command_name

# Settings that make a command of the documents small; the last of two equal flags holds.
SMALL = {
    "curate chains": ["--train_chains=30", "--held_out=(1, 2, 1, 1, 1)"],
    "tokenizer": ["--vocab_size=400"],
    "train": [
        "--steps=3",
        "--warmup_steps=1",
        "--layers=1",
        "--width=64",
        "--heads=2",
        "--mlp_size=64",
    ],
    "sample": ["--samples_per_problem=10", "--max_new_tokens=8"],
    "data inspect": ["--step=0"],
}
# Pages whose commands follow from README's, in an order in which each finds its inputs.
FLOW = ["README.md", "docs/data.md", "docs/sample.md", "docs/evaluate.md", "docs/report.md"]
NEEDS_MORE = ("data cache", "serve", "sweep")  # Beam, a client, minutes: tests of their own


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with the tree's gin files and code, a library of a few files, and problems."""
    folder = tmp_path_factory.mktemp("documents")
    for name in ("gin_configs", "codex_jax", "docs"):
        (folder / name).symlink_to(ROOT / name)
    library = folder / "library"
    library.mkdir()
    for path in sorted((ROOT / "codex_jax" / "data").glob("*.py")):
        (library / path.name).write_text(path.read_text())
    problems = [
        f'{{"task_id": "{n}", "prompt": "def f():\\n", "canonical_solution": "    return {n}"}}\n'
        for n in range(40)
    ]
    (folder / "problems.jsonl").write_text("".join(problems))
    return folder


def words_of(line: str, workplace: pathlib.Path) -> list[str]:
    """The words of a command after `codex-jax`, made small."""
    line = line.replace("/usr/lib/python3.11", str(workplace / "library"))
    return [*shlex.split(line)[1:], *SMALL.get(command_name(line), [])]


def test_the_commands_of_the_flow_are_run(workplace, monkeypatch, capsys, commands_in):
    monkeypatch.chdir(workplace)
    done = []
    for page in FLOW:
        for block in blocks(ROOT / page, "sh"):
            for line in commands_in(block):
                name = command_name(line)
                if name in NEEDS_MORE or line in done or "--cached" in line:
                    continue
                assert cli.main(words_of(line, workplace)) == 0, (page, line, capsys.readouterr())
                done.append(line)
    ran = {command_name(line) for line in done}
    assert ran >= {"curate chains", "tokenizer", "data build", "train", "sample", "evaluate"}
    assert (workplace / "runs" / "mine" / "report.html").read_text().startswith("<!doctype html>")
    assert list((workplace / "runs" / "mine").glob("at-*.jsonl")), "both temperatures' files"
