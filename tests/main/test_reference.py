"""docs/configuration.md is the page that the command line's own tables generate."""

import pathlib

import pytest

from codex_jax.main import reference, schema
from codex_jax.main.commands import COMMANDS

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "configuration.md"
REGENERATE = "python -m codex_jax.main.reference > docs/configuration.md"


@pytest.fixture(scope="module")
def text():
    return reference.reference()


def test_the_committed_page_is_the_generated_one(text):
    assert REGENERATE in text
    committed = PAGE.read_text("utf-8").splitlines()
    differences = [
        line for line in set(committed) ^ set(text.splitlines()) if line not in ("", "|---|---|")
    ]
    assert committed == text.splitlines(), f"run `{REGENERATE}`; lines that differ: {differences}"


def test_every_setting_of_every_command_has_its_row(text):
    rows = text.splitlines()
    for name, command in COMMANDS.items():
        assert f"### codex-jax {name}" in rows
        for configurable in schema.describe_command(command).values():
            for setting in configurable.settings.values():
                cells = f"| `{setting.name}` | `{setting.type_name.replace('|', chr(92) + '|')}` |"
                assert any(row.startswith(cells) for row in rows), f"{name}: {setting.key}"


def test_every_setting_has_a_meaning(text):
    assert [line for line in text.splitlines() if line.startswith("|") and "|  |" in line] == []


def test_links_lead_to_a_class(text):
    links = {part.split(")")[0] for part in text.split("](#")[1:]}
    headings = {line.removeprefix("### ").lower() for line in text.splitlines() if "### " in line}
    assert links <= headings
