"""What README.md says, held against the tree and the command line."""

import pathlib
import re
import subprocess

import pytest

from codex_jax.main.commands import COMMANDS, select_command

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return [text for found, text in fences if found == language]


def tracked() -> list[str]:
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    if done.returncode:
        pytest.skip("not a git checkout: no list of files to hold the tree against")
    return done.stdout.splitlines()


def test_the_tree_is_the_tree():
    (block,) = [text for text in blocks("") if "\ncodex_jax/ " in text]
    shown, top = set(), ""
    for line in block.splitlines():
        name = line.split()[0].rstrip("/")
        top = top if line.startswith(" ") else name
        shown.add(name if name == top else f"{top}/{name}")
    parts = [pathlib.Path(file).parent.parts for file in tracked()]
    folders = {"/".join(p[:depth]) for p in parts for depth in (1, 2) if len(p) >= depth}
    assert shown == {folder for folder in folders if not folder.startswith(".")}


def test_the_leaves_named_are_the_leaves():
    named = set(re.search(r"`([\w ]+)` are leaves", README).group(1).split())
    files = {p.stem for p in (ROOT / "codex_jax").glob("*.py")} - {"__init__", "__main__"}
    assert named == files | {"model", "sharding", "tokenizer"}


def test_every_command_has_an_example_that_is_accepted(configured, commands_in):
    examples = [command for text in blocks("sh") for command in commands_in(text)]
    for command in examples:
        assert configured(command)
    assert {select_command(command.split()[1:])[0].name for command in examples} == set(COMMANDS)
    assert {*re.findall(r"\*\*([\w ]+)\*\*", README)} == set(COMMANDS)


def test_every_script_is_shown_and_its_flags_are_accepted():
    text = "".join(blocks("sh")).replace("\\\n", " ")
    lines = re.findall(r"^(tpu_scripts/\w+\.sh) (.*)$", text, re.MULTILINE)
    scripts = {f"tpu_scripts/{p.name}" for p in (ROOT / "tpu_scripts").glob("*.sh")}
    assert {script for script, _ in lines} == scripts - {"tpu_scripts/flags.sh"}
    for script, words in lines:
        command = [ROOT / script, "--dry-run", *words.split()]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_two_commands_are_targets_and_ci_runs_the_second():
    first, second = blocks("sh")[0].split("\n")[:2]
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {first, second} == {"make quickstart", "make test"}
    assert {"quickstart", "test", "install", "lint"} <= targets
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in ci if not line.startswith("#")] == [f"exec {second}"]


def test_the_extras_named_exist():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    section = README[README.index("The\nextras:") :]
    named = set(re.findall(r"`(\w+)`", section.split("dev`")[0] + "dev`"))
    assert named == set(project["optional-dependencies"])
