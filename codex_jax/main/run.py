"""A verb with its configuration: shown, or called."""

import dataclasses
import gc
import inspect
import os
from collections.abc import Iterable
from typing import Any

import absl.logging

from codex_jax import InputError
from codex_jax.main import dry_run, resolve
from codex_jax.main.bindings import Bindings, Flag, near
from codex_jax.main.commands import Verb
from codex_jax.main.schema import Description


@dataclasses.dataclass(frozen=True)
class Run:
    """A verb and what it will be called with."""

    verb: Verb
    root: resolve.Node

    def arguments(self) -> dict[str, Any]:
        """Of the verb's function: plain values and frozen descriptions, no gin."""
        found = resolve.arguments(self.verb, self.root)
        if "operative_config" in inspect.signature(self.root.description.make).parameters:
            found["operative_config"] = resolve.text(self.root)
        return found

    def call(self) -> Any:
        """Runs the verb; on a pod, as one process of many."""
        # Orbax logs a traceback for each thread that fails, and then raises what we report.
        absl.logging.set_verbosity(absl.logging.FATAL)
        if os.environ.get("CODEX_JAX_DISTRIBUTED"):
            import jax

            jax.distributed.initialize()  # hosts find each other by what the TPU tells them
        if self.verb.repeats:
            from codex_jax.host_runtime import keep_pages

            keep_pages()
        arguments = self.arguments()
        gc.enable()
        return self.root.description.make(**arguments)

    def preview(self) -> str:
        """The configuration with its sources and, for what can be computed, its consequences."""
        lines = [resolve.text(self.root)]
        if dry_run.OF.get(self.verb.name):
            lines.append(dry_run.OF[self.verb.name](**self.arguments()))
        return "\n".join(lines)


def configure(
    verb: Verb,
    descriptions: dict[str, Description],
    files: Iterable[Any],
    flags: Iterable[tuple[str, str, str | None]],
) -> Run:
    """Files, then flags (as typed, name, value), checked and frozen.

    Raises:
      InputError: any name unknown, any value unfit, anything unset.
    """
    bindings = Bindings(descriptions)
    for path in files:
        bindings.read_file(path)
    for typed, name, value in flags:
        key = name.removeprefix("gin.") if name.startswith("gin.") else owned(name, descriptions)
        text = switched_on(typed, key, descriptions) if value is None else value
        bindings.read_flag(Flag(typed, key, text))
    return Run(verb, resolve.Resolver(verb, bindings).resolve())


def switched_on(typed: str, key: str, descriptions: dict[str, Description]) -> str:
    """The value of a flag that came without one: only a bool can."""
    owner, _, name = key.rpartition(".")
    setting = descriptions[owner].settings.get(name) if owner in descriptions else None
    if setting is None or setting.hint is not bool:
        raise InputError(f"{typed} has no value; write {typed}=VALUE")
    return "True"


def owned(name: str, descriptions: dict[str, Description]) -> str:
    """NAME of a plain flag as OWNER.NAME: the verb's own, or the only description that has it."""
    own, *others = descriptions.values()
    if name in own.settings and name not in own.inner:
        return f"{own.name}.{name}"
    owners = [other.name for other in others if name in other.settings]
    if len(owners) == 1:
        return f"{owners[0]}.{name}"
    if owners:
        raise InputError(f"--{name} could be {' or '.join(f'--gin.{o}.{name}' for o in owners)}")
    known = {setting for other in descriptions.values() for setting in other.settings}
    raise InputError(f"no setting --{name}{near(name, known)}")
