"""Bindings to arguments: fitted to their types, all unset ones named at once, gin left behind."""

import dataclasses
import pathlib
from typing import Any

from codex_jax import InputError
from codex_jax.main import bindings as gins
from codex_jax.main import coercion
from codex_jax.main.bindings import Bindings
from codex_jax.main.commands import Verb
from codex_jax.main.schema import REQUIRED, Description, Setting


@dataclasses.dataclass
class Node:
    """A description with its arguments, some of them nodes; `sources` says who set what.

    `name` is as gin writes it, with the scope.
    """

    name: str
    description: Description
    arguments: dict[str, Any]
    sources: dict[str, str]
    default: Any = None

    def make(self, given: dict[str, Any]) -> Any:
        """The described object. `given` fills settings that are unbound, by "Owner.setting"."""
        return self.description.make(**self.keywords(given))

    def keywords(self, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments, every node in them made."""
        found = {name: _made(value, given) for name, value in self.arguments.items()}
        for name, setting in self.description.settings.items():
            if name not in found and setting.key in given:
                found[name] = given[setting.key]
        return found


def _made(value: Any, given: dict[str, Any]) -> Any:
    if isinstance(value, Node):
        return value.make(given)
    if isinstance(value, list | tuple):
        return type(value)(_made(v, given) for v in value)
    if isinstance(value, dict):
        return {k: _made(v, given) for k, v in value.items()}
    return value


class Resolver:
    """Walks from the verb through all that its settings reach."""

    def __init__(self, verb: Verb, bindings: Bindings):
        self.verb = verb
        self.bindings = bindings
        self.unset: list[str] = []
        self._derived = {key for wire in verb.wires.values() for key in wire.gives}

    def resolve(self) -> Node:
        """The verb's node.

        Raises:
          InputError: values of the wrong type, macros in vain, or settings that nothing sets.
        """
        self.bindings.check_macros()
        root = self._node(self.verb.name, (), None)
        if self.unset:
            raise InputError(
                f"not set: {', '.join(self.unset)}; set each as --NAME=VALUE or in a gin file"
            )
        return root

    def _node(self, name: str, scopes: tuple[str, ...], default: Any) -> Node:
        description = self.bindings.descriptions[name]
        bound = self.bindings.of(name, scopes)
        node = Node("/".join([*scopes, name]), description, {}, {}, default)
        for setting in description.settings.values():
            value, source = bound.get(setting.name, (REQUIRED, ""))
            value, source = self._through_macros(value, source)
            if gins.is_required(value):
                self.unset.append(f"{setting.key} (%gin.REQUIRED in {source})")
            elif value is not REQUIRED:
                node.arguments[setting.name] = self._fit(setting, value, source)
                node.sources[setting.name] = source
            else:
                self._leave(setting, node)
        return node

    def _through_macros(self, value: Any, source: str) -> tuple[Any, str]:
        while found := self.bindings.macro(value):
            value, source = found
        return value, source

    def _leave(self, setting: Setting, node: Node) -> None:
        """An unbound setting: a description's own node, the default, or a fault."""
        inner = node.description.inner.get(setting.name)
        default = setting.default
        if dataclasses.is_dataclass(node.default):
            default = getattr(node.default, setting.name)
            if default != setting.default and not inner:
                node.arguments[setting.name] = default
        if inner and (default is not None or self.bindings.of(inner)):
            node.arguments[setting.name] = self._node(inner, (), default)
        elif default is REQUIRED and setting.key not in self._derived:
            self.unset.append(setting.key)

    def _fit(self, setting: Setting, value: Any, source: str) -> Any:
        reached: list[Node] = []
        unset = len(self.unset)
        plain = self._replaced(value, reached)
        # What surrounds a node is not held against the hint, nor what lacks a value yet.
        if reached or len(self.unset) > unset:
            return plain
        try:
            return coercion.fit(plain, setting.hint)
        except coercion.MismatchError:
            raise InputError(
                f"{source}: {setting.key} is {plain!r}; expected {setting.type_name}"
            ) from None

    def _replaced(self, value: Any, reached: list[Node]) -> Any:
        """The value with macros replaced by what they stand for, and references by nodes."""
        value, source = self._through_macros(value, "")
        if gins.is_required(value):
            self.unset.append(f"a macro in {source}" if source else "%gin.REQUIRED in a container")
            return None
        if gins.is_reference(value):
            reached.append(self._node(value.selector.rpartition(".")[2], tuple(value.scopes), None))
            return reached[-1]
        if isinstance(value, list | tuple):
            return type(value)(self._replaced(v, reached) for v in value)
        if isinstance(value, dict):
            return {k: self._replaced(v, reached) for k, v in value.items()}
        return value


def arguments(verb: Verb, root: Node) -> dict[str, Any]:
    """What the verb's function is called with; the wired objects are made first."""
    given: dict[str, Any] = {}
    made = {}
    for name, wire in verb.wires.items():
        made[name] = root.arguments[name].make({})
        given |= {key: getattr(made[name], attribute) for key, attribute in wire.gives.items()}
    rest = dataclasses.replace(
        root, arguments={k: v for k, v in root.arguments.items() if k not in made}
    )
    return {**rest.keywords(given), **made}


def text(root: Node) -> str:
    """The configuration as gin: what was bound, with where, and each default as a comment."""
    lines: dict[str, None] = {}
    _write(root, lines)
    return "\n".join(lines) + "\n"


def _write(node: Node, lines: dict[str, None]) -> None:
    for name, setting in node.description.settings.items():
        value, key = node.arguments.get(name, REQUIRED), f"{node.name}.{name}"
        if value is REQUIRED:
            default = "from the data" if setting.default is REQUIRED else repr(setting.default)
            lines[f"# {key} = {default}"] = None
        elif name in node.sources:
            lines[f"{key} = {literal(value)}  # {node.sources[name]}"] = None
        elif not isinstance(value, Node):
            lines[f"# {key} = {literal(value)}"] = None
    for value in node.arguments.values():
        for inner in _nodes(value):
            _write(inner, lines)


def _nodes(value: Any) -> list[Node]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [node for item in value for node in _nodes(item)]
    return [value] if isinstance(value, Node) else []


def literal(value: Any) -> str:
    """A value as gin reads it."""
    if isinstance(value, Node):
        return f"@{value.name}()"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, tuple):
        return "(" + "".join(literal(v) + ", " for v in value).rstrip() + ")"
    return repr(str(value) if isinstance(value, pathlib.Path) else value)
