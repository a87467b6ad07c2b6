"""Words of a command line, bound to the command's settings; nothing is called."""

from collections.abc import Iterable, Sequence
from typing import Any

from codex_jax import InputError
from codex_jax.main import gin_files, schema
from codex_jax.main.bindings import Bindings, Flag
from codex_jax.main.command_line import parse
from codex_jax.main.commands import Command, select_command
from codex_jax.main.config_text import Node
from codex_jax.main.resolve import Resolver
from codex_jax.main.schema import Configurable
from codex_jax.suggestions import suggest


def bind_words(words: Sequence[str]) -> Node:
    """Returns the settings of the command that words make.

    Raises:
      InputError: words by which the command wouldn't begin, or would do nothing but print.
    """
    command, rest = select_command(words)
    request = parse(rest, command.operand)
    if request.help or request.dry_run:
        raise InputError("the command has --help or --dry_run, and would do nothing; remove it")
    files = map(gin_files.find_config, request.files)
    return bind_settings(command, schema.describe_command(command), files, request.flags)


def bind_settings(
    command: Command,
    configurables: dict[str, Configurable],
    files: Iterable[Any],
    flags: Iterable[tuple[str, str, str | None]],
) -> Node:
    """Binds files, then flags (as typed, name, value).

    Raises:
      InputError: an unknown name, a value of the wrong type, an unset or an unread parameter.
    """
    bindings = Bindings(configurables)
    for path in files:
        bindings.read_file(path)
    for typed, name, value in flags:
        is_qualified = name.startswith("gin.")
        key = name.removeprefix("gin.") if is_qualified else qualify(name, configurables)
        text = flag_value(typed, key, configurables) if value is None else value
        bindings.read_flag(Flag(typed, key, text))
    return Resolver(command, bindings).resolve()


def flag_value(typed: str, key: str, configurables: dict[str, Configurable]) -> str:
    """Returns the value of a flag typed without one: only a bool may come so."""
    owner, _, name = key.rpartition(".")
    setting = configurables[owner].settings.get(name) if owner in configurables else None
    if setting is None or setting.hint is not bool:
        raise InputError(f"{typed} has no value; write {typed}=VALUE")
    return "True"


def qualify(name: str, configurables: dict[str, Configurable]) -> str:
    """Returns a plain flag's NAME as OWNER.NAME: the command's own, or of its only owner."""
    own, *others = configurables.values()
    if name in own.settings and name not in own.inner:
        return f"{own.name}.{name}"
    owners = [other.name for other in others if name in other.settings]
    if len(owners) == 1:
        return f"{owners[0]}.{name}"
    if owners:
        choices = " or ".join(f"--gin.{owner}.{name}" for owner in owners)
        raise InputError(f"--{name} is ambiguous; write {choices}")
    names = {setting for each in configurables.values() for setting in each.settings}
    raise InputError(f"no setting --{name}{suggest(name, names)}")
