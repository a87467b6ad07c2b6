"""A command with its configuration: shown, or called."""

import dataclasses
import gc
import inspect
import os
from collections.abc import Iterable
from typing import Any

import absl.logging

from codex_jax import InputError
from codex_jax.main import dry_run, resolve
from codex_jax.main.bindings import Bindings, Flag
from codex_jax.main.commands import Command
from codex_jax.main.config_text import config_text
from codex_jax.main.first_host import run_on_hosts
from codex_jax.main.remote_settings import check_paths, localized
from codex_jax.main.schema import Configurable
from codex_jax.suggestions import suggest


@dataclasses.dataclass(frozen=True)
class BoundCommand:
    """A command and the configuration it will be called with."""

    command: Command
    root: resolve.Node

    def arguments(self) -> dict[str, Any]:
        """Returns the function's arguments: plain values and frozen descriptions, no gin."""
        values = resolve.arguments(self.command, self.root)
        if "operative_config" in inspect.signature(self.root.configurable.make).parameters:
            values["operative_config"] = config_text(self.root)
        return values

    def call(self) -> Any:
        """Runs the command; on a pod, as one process of many."""
        # Orbax logs a traceback for each thread that fails, and then raises what we report.
        absl.logging.set_verbosity(absl.logging.FATAL)
        switch = os.environ.get("CODEX_JAX_DISTRIBUTED", "")
        if switch in ("", "0"):
            return self._call()
        if switch != "1":
            raise InputError(
                f"the variable CODEX_JAX_DISTRIBUTED is {switch!r:.40}; set it to 1, or to 0 for "
                "this host alone"
            )
        from codex_jax import hosts

        with hosts.joined():
            return run_on_hosts(self.command, self._call)

    def _call(self) -> Any:
        if self.command.repeats:
            from codex_jax.host_runtime import keep_freed_pages

            keep_freed_pages()
        with localized(self.command, self.root) as root:
            arguments = dataclasses.replace(self, root=root).arguments()
            gc.enable()
            return self.root.configurable.make(**arguments)

    def preview(self) -> str:
        """Returns the configuration with its sources, and its cost where that can be computed."""
        lines = [config_text(self.root)]
        if preview := dry_run.PREVIEWS.get(self.command.name):
            lines.append(preview(**self.arguments()))
        return "\n".join(lines)


def bind(
    command: Command,
    configurables: dict[str, Configurable],
    files: Iterable[Any],
    flags: Iterable[tuple[str, str, str | None]],
) -> BoundCommand:
    """Binds files, then flags (as typed, name, value); checks and freezes them.

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
    root = resolve.Resolver(command, bindings).resolve()
    check_paths(root)
    return BoundCommand(command, root)


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
