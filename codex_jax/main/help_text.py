"""The text of --help: usage, summary, then each setting with its type, default and meaning."""

import shutil
import textwrap

from codex_jax.main.commands import COMMANDS, GROUPS, SECTIONS, Command, subcommands
from codex_jax.main.schema import REQUIRED, Configurable, Parameter

_OPTIONS = "[FILE.gin …] [--NAME=VALUE …]"

_COMMON = """\
FILE.gin                  gin bindings; later files and flags win over earlier ones
--NAME=VALUE              a setting of the command, or of the only class below that has it
--gin.OWNER.NAME=VALUE    a setting of OWNER; --gin.MACRO=VALUE sets a gin file's macro
--dry_run                 check everything and print the configuration; run nothing
--help                    this text"""


def all_commands() -> str:
    """Returns the list of commands."""
    width = max(map(len, COMMANDS))
    blocks = [
        f"USAGE: codex-jax COMMAND {_OPTIONS}",
        "An open Codex, end to end: source trees → tokens → decoder → samples → verdicts.",
    ]
    blocks += [_rows(title, {c.name: c for c in rows}, width) for title, rows in SECTIONS.items()]
    return "\n\n".join([*blocks, "codex-jax COMMAND --help lists a command's settings."])


def one_group(name: str) -> str:
    """Returns a group's subcommands."""
    rows = subcommands(name)
    return "\n\n".join(
        [
            f"USAGE: codex-jax {name} SUBCOMMAND {_OPTIONS}",
            GROUPS[name],
            _rows("Subcommands", rows, max(map(len, rows))),
            f"codex-jax {name} SUBCOMMAND --help lists a subcommand's settings.",
        ]
    )


def _rows(title: str, commands: dict[str, Command], width: int) -> str:
    lines = [f"  {name:{width}}  {command.summary}" for name, command in commands.items()]
    return "\n".join([f"{title}:", *lines])


def _operand(command: Command) -> str:
    return f" {command.operand.upper()}" if command.operand else ""


def one_command(command: Command, configurables: dict[str, Configurable]) -> str:
    """Returns every setting of a command, and of the classes that its settings take."""
    own, *others = configurables.values()
    derived = derived_settings(command)
    usage = f"USAGE: codex-jax {command.name}{_operand(command)} {_OPTIONS}"
    blocks = [usage, textwrap.fill(own.summary, _width())]
    if rows := subcommands(command.name):
        blocks.append(_rows("Subcommands", rows, max(map(len, rows))))
    blocks.append("Options:\n" + textwrap.indent(_COMMON, "  "))
    if own.settings:
        blocks.append(_table(own, derived, title=f"Settings of {command.name}:"))
    titles = {other.name: f"Settings of {other.name}: {other.summary}" for other in others}
    blocks += [_table(other, derived, title=titles[other.name]) for other in others]
    return "\n\n".join(blocks)


def derived_settings(command: Command) -> dict[str, str]:
    """Returns "Owner.setting" → the parameter whose object answers it if nobody sets it."""
    return {
        key: name
        for name, dependency in command.dependencies.items()
        for key in dependency.provides
    }


def default_text(setting: Parameter, inner: str | None, derived: dict[str, str]) -> str:
    """Returns "required", "from OBJECT" or the default as Python writes it."""
    if inner:
        return f"@{inner}()" if setting.default is not None else "None"
    if setting.key in derived:
        return f"from {derived[setting.key]}"
    return "required" if setting.default is REQUIRED else repr(setting.default)


def _table(configurable: Configurable, derived: dict[str, str], *, title: str) -> str:
    lines = textwrap.wrap(title, _width())
    for name, setting in configurable.settings.items():
        doc = setting.doc
        inner = configurable.inner.get(name)
        default = default_text(setting, inner, derived)
        if inner:
            head = f"  {name}: {inner}"
            doc = f"{doc} See the settings of {inner}."
        elif default == "required" or default.startswith("from "):
            head = f"  --{name}: {setting.type_name} ({default})"
        else:
            head = f"  --{name}: {setting.type_name} = {default}"
        lines += [head, *(f"      {line}" for line in textwrap.wrap(doc, _width() - 6))]
    return "\n".join(lines)


def _width() -> int:
    return min(shutil.get_terminal_size().columns, 100)
