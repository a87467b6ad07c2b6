"""Settings of a command: its parameters, and the fields of the frozen descriptions it takes.

Names, types and defaults come from signatures, the line of help from the docstring's Args.
"""

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable
from typing import Any

from codex_jax import coercion
from codex_jax.main import commands
from codex_jax.main.commands import Command

REQUIRED = inspect.Parameter.empty

# Filled by main itself, and so no setting.
_FILLED = {"operative_config"}


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter of a function, or a field of a dataclass."""

    owner: str
    name: str
    hint: Any
    default: Any
    doc: str

    @property
    def key(self) -> str:
        """Its name in gin: "DecoderConfig.layers"."""
        return f"{self.owner}.{self.name}"

    @property
    def type_name(self) -> str:
        """Its type as help prints it, without module names."""
        return coercion.describe(self.hint)


@dataclasses.dataclass(frozen=True)
class Configurable:
    """A callable and its parameters.

    Args:
      name: Its name in gin.
      make: The callable.
      summary: The docstring up to its first section, as one paragraph.
      settings: Name → parameter.
      inner: Parameter → the configurable that it takes as a unit.
    """

    name: str
    make: Callable
    summary: str
    settings: dict[str, Parameter]
    inner: dict[str, str]


def describe_command(command: Command) -> dict[str, Configurable]:
    """Returns name → configurable: the command's function first, then every class it takes."""
    configurables: dict[str, Configurable] = {}
    dependencies = {
        name: commands.load(dependency.target) for name, dependency in command.dependencies.items()
    }
    _collect(command.gin_name, commands.load(command.target), dependencies, configurables)
    return configurables


def _collect(
    name: str,
    make: Callable,
    dependencies: dict[str, Callable],
    configurables: dict[str, Configurable],
) -> None:
    settings: dict[str, Parameter] = {}
    inner: dict[str, str] = {}
    classes: list[Callable] = []
    for parameter in _parameters(name, make):
        settings[parameter.name] = parameter
        is_dependency = parameter.name in dependencies
        taken = [dependencies[parameter.name]] if is_dependency else dataclasses_in(parameter.hint)
        if taken and (is_dependency or taken[0] in coercion.options(parameter.hint)):
            inner[parameter.name] = taken[0].__name__
        classes += taken
    summary, _ = parse_docstring(inspect.getdoc(make) or "")
    configurables[name] = Configurable(name, make, summary, settings, inner)
    for cls in classes:
        if cls.__name__ not in configurables:
            _collect(cls.__name__, cls, {}, configurables)


def _parameters(owner: str, make: Callable) -> list[Parameter]:
    _, docs = parse_docstring(inspect.getdoc(make) or "")
    initializer = make.__init__ if inspect.isclass(make) else make
    if not docs:
        docs = parse_docstring(inspect.getdoc(initializer) or "")[1]
    hints = typing.get_type_hints(initializer)
    return [
        Parameter(
            owner,
            parameter.name,
            hints.get(parameter.name, Any),
            _default(make, parameter),
            docs.get(parameter.name, ""),
        )
        for parameter in inspect.signature(make).parameters.values()
        if parameter.name not in _FILLED
    ]


def _default(make: Callable, parameter: inspect.Parameter) -> Any:
    """Returns the default; of a field with a factory, what the factory makes."""
    fields = getattr(make, "__dataclass_fields__", {})
    factory = getattr(fields.get(parameter.name), "default_factory", dataclasses.MISSING)
    return parameter.default if factory is dataclasses.MISSING else factory()


def dataclasses_in(hint: Any) -> list[type]:
    """Returns the dataclasses that a hint names, at any depth."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return [hint]
    return [cls for part in typing.get_args(hint) for cls in dataclasses_in(part)]


def parse_docstring(doc: str) -> tuple[str, dict[str, str]]:
    """Returns (everything before the first section as one paragraph, the Args by name)."""
    parts = re.split(r"^(Args|Returns|Yields|Raises):[ ]*\n", doc, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    entry = r"^  (\w+):[ ]*(.*(?:\n(?:    .*|$))*)"
    args = re.findall(entry, sections.get("Args", ""), flags=re.MULTILINE)
    return " ".join(parts[0].split()), {name: " ".join(text.split()) for name, text in args}
