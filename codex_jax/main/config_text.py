"""A resolved configuration: a tree of nodes, and its gin text."""

import dataclasses
import pathlib
from typing import Any

from codex_jax import coercion
from codex_jax.main.schema import REQUIRED, Configurable


@dataclasses.dataclass
class Node(coercion.Deferred):
    """A configurable with its arguments, some of them nodes.

    Args:
      name: Its name in gin, with the scope.
      configurable: The callable and its parameters.
      arguments: Parameter → value.
      sources: Parameter → the place where it was set.
      default: The object whose fields are its defaults.
    """

    name: str
    configurable: Configurable
    arguments: dict[str, Any]
    sources: dict[str, str]
    default: Any = None

    @property
    def made_type(self) -> Any:
        """The class of the object that it makes."""
        return self.configurable.make

    def make(self, derived: dict[str, Any]) -> Any:
        """Makes the object; `derived` fills parameters that nobody set, by "Owner.parameter"."""
        return self.configurable.make(**self.keywords(derived))

    def keywords(self, derived: dict[str, Any]) -> dict[str, Any]:
        """Returns the arguments, every node in them replaced by its object."""
        values = {name: _make(value, derived) for name, value in self.arguments.items()}
        for name, setting in self.configurable.settings.items():
            if name not in values and setting.key in derived:
                values[name] = derived[setting.key]
        return values


def _make(value: Any, derived: dict[str, Any]) -> Any:
    if isinstance(value, Node):
        return value.make(derived)
    if isinstance(value, list | tuple):
        return type(value)(_make(v, derived) for v in value)
    if isinstance(value, dict):
        return {k: _make(v, derived) for k, v in value.items()}
    return value


def config_text(root: Node) -> str:
    """Returns the configuration as gin: bindings with their sources, defaults as comments."""
    lines: dict[str, None] = {}
    _write(root, lines)
    return "\n".join(lines) + "\n"


def _write(node: Node, lines: dict[str, None]) -> None:
    for name, setting in node.configurable.settings.items():
        value, key = node.arguments.get(name, REQUIRED), f"{node.name}.{name}"
        if value is REQUIRED:
            default = "from the data" if setting.default is REQUIRED else repr(setting.default)
            lines[f"# {key} = {default}"] = None
        elif name in node.sources:
            lines[f"{key} = {to_gin(value)}  # {node.sources[name]}"] = None
        elif not isinstance(value, Node):
            lines[f"# {key} = {to_gin(value)}"] = None
    for value in node.arguments.values():
        for inner in _nodes(value):
            _write(inner, lines)


def _nodes(value: Any) -> list[Node]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [node for item in value for node in _nodes(item)]
    return [value] if isinstance(value, Node) else []


def to_gin(value: Any) -> str:
    """Returns a value as gin reads it."""
    if isinstance(value, Node):
        return f"@{value.name}()"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_gin(k)}: {to_gin(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_gin, value)) + "]"
    if isinstance(value, tuple):
        return "(" + "".join(to_gin(v) + ", " for v in value).rstrip() + ")"
    return repr(str(value) if isinstance(value, pathlib.Path) else value)
