"""The table of commands, and the words that choose a row."""

import pytest

from codex_jax import InputError
from codex_jax.main import commands
from codex_jax.main.commands import COMMANDS, GROUPS, SECTIONS, select_command


@pytest.mark.parametrize(
    ("line", "name", "rest"),
    [
        ("train a.gin --steps=2", "train", ["a.gin", "--steps=2"]),
        ("data build --output=o", "data build", ["--output=o"]),
        ("data inspect", "data inspect", []),
        ("evaluate --ks=(1,)", "evaluate", ["--ks=(1,)"]),
        ("evaluate languages", "evaluate languages", []),
        ("curate chains --seed=1", "curate chains", ["--seed=1"]),
    ],
)
def test_a_line_begins_with_its_command(line, name, rest):
    command, words = select_command(line.split())
    assert (command.name, words) == (name, rest)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cache --output=o", "'cache' is no command; write codex-jax data cache"),
        ("inspect --rows=r", "'inspect' is no command; write codex-jax data inspect"),
        ("explain --file=f", "'explain' is no command; write codex-jax data explain"),
        ("languages", "'languages' is no command; write codex-jax evaluate languages"),
        (
            "evaluate --list-languages",
            "no setting --list-languages; write codex-jax evaluate languages",
        ),
        (
            "data --output=o",
            "no subcommand '--output=o'; write codex-jax data SUBCOMMAND"
            "; expected build, cache, explain, inspect",
        ),
        (
            "data bild",
            "no subcommand 'bild'; write codex-jax data SUBCOMMAND; did you mean build?",
        ),
        (
            "curate --seed=0",
            "no subcommand '--seed=0'; write codex-jax curate SUBCOMMAND; "
            "expected candidates, chains, contests, docstrings, filter, traces",
        ),
        ("evalaute", "no command 'evalaute'; did you mean evaluate?"),
    ],
)
def test_other_forms_are_a_line_that_names_the_form(line, message):
    with pytest.raises(InputError) as caught:
        select_command(line.split())
    assert str(caught.value) == message


def test_every_row_stands_in_one_section_and_its_first_word_is_explained():
    names = [command.name for rows in SECTIONS.values() for command in rows]
    assert len(names) == len(set(names)) == len(COMMANDS)
    first_words = {name.split()[0] for name in names if " " in name}
    assert first_words <= set(GROUPS) | set(COMMANDS)
    assert set(GROUPS) <= first_words - set(COMMANDS)


def test_gin_names_follow_the_words():
    assert {name: COMMANDS[name].gin_name for name in ("train", "data build")} == {
        "train": "train",
        "data build": "data.build",
    }


def test_a_missing_extra_is_named():
    error = ModuleNotFoundError("No module named 'seqio'", name="seqio.dataset_providers")
    line = commands.missing_package(error)
    assert line == "seqio is not installed; pip install 'codex-jax[data]'"
    assert commands.missing_package(ModuleNotFoundError(name="codex_jax.absent")) is None
