"""docs/configuration.md: every setting of every command, from the source of --help.

python -m codex_jax.main.reference > docs/configuration.md
"""

import sys

from codex_jax.main import help_text, schema
from codex_jax.main.commands import SECTIONS, Command
from codex_jax.main.schema import Configurable

_INTRODUCTION = """\
# Configuration

Every setting of every command, with its type, its default and its meaning.
`codex-jax COMMAND --help` prints the same; this page is generated from the same signatures and
docstrings:

    python -m codex_jax.main.reference > docs/configuration.md

A flag `--NAME=VALUE` sets a command's own setting, or that of the only class in its list which
has the name; `--gin.OWNER.NAME=VALUE` names the owner. In a gin file the line is
`OWNER.NAME = VALUE`. A sequence's items may stand between commas in a flag, without brackets and
quotes: `--temperatures=0.2,0.8`. An empty item is an error, and so is one that stands there twice
where items are counted or name a result each. Flags win over files, later files over earlier ones.
A misspelt name, an unset required setting and a setting that nothing reads are errors. `--dry_run`
prints the result.
"""


def reference() -> str:
    """Returns the page as Markdown: a section a command, then one a class."""
    blocks = [_INTRODUCTION]
    classes: dict[str, tuple[Configurable, dict[str, str]]] = {}
    users: dict[str, list[str]] = {}
    for title, commands in SECTIONS.items():
        blocks.append(f"## {title}\n")
        for command in commands:
            own, *others = schema.describe_command(command).values()
            derived = help_text.derived_settings(command)
            blocks.append(_command(command, own, derived, [other.name for other in others]))
            for other in others:
                classes.setdefault(other.name, (other, derived))
                users.setdefault(other.name, []).append(command.name)
    blocks.append("## Classes\n")
    for name in sorted(classes):
        configurable, derived = classes[name]
        commands_text = ", ".join(f"`{user}`" for user in users[name])
        heading = f"### {name}\n\n{configurable.summary}\n\nUsed by {commands_text}.\n"
        blocks.append(f"{heading}\n{_table(configurable, derived)}")
    return "\n".join(blocks)


def _command(
    command: Command, own: Configurable, derived: dict[str, str], classes: list[str]
) -> str:
    parts = [f"### codex-jax {command.name}\n\n{own.summary}\n"]
    if own.settings:
        parts.append(f"In gin files: `{own.name}`.\n\n{_table(own, derived)}")
    else:
        parts.append("It has no settings.\n")
    if classes:
        links = ", ".join(f"[{name}](#{name.lower()})" for name in classes)
        parts.append(f"It also takes the settings of {links}.\n")
    return "\n".join(parts)


def _table(configurable: Configurable, derived: dict[str, str]) -> str:
    rows = ["| setting | type | default | meaning |", "|---|---|---|---|"]
    for name, setting in configurable.settings.items():
        default = help_text.default_text(setting, configurable.inner.get(name), derived)
        cells = [f"`{name}`", f"`{setting.type_name}`", f"`{default}`", setting.doc]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
