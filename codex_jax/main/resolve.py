"""Bindings to arguments: fitted to their types, all unset ones named at once, no gin in them."""

import dataclasses
import pathlib
import re
from typing import Any

from codex_jax import InputError, coercion
from codex_jax.main import bindings as gins
from codex_jax.main.bindings import Bindings
from codex_jax.main.commands import Command
from codex_jax.main.config_text import Node, to_gin
from codex_jax.main.schema import REQUIRED, Parameter, dataclasses_in


class Resolver:
    """Walks from the command through every configurable that its settings reach."""

    def __init__(self, command: Command, bindings: Bindings):
        self.command = command
        self.bindings = bindings
        self.unset: list[str] = []
        self._route: list[str] = []  # names of the nodes above the present one
        self._scopes: dict[str, None] = {}
        self._derived = {
            key for dependency in command.dependencies.values() for key in dependency.provides
        }

    def resolve(self) -> Node:
        """Returns the command's node.

        Raises:
          InputError: values of the wrong type, bindings that nothing reads, unset parameters.
        """
        self.bindings.check_macros()
        root = self._node(self.command.gin_name, (), None, "")
        self.bindings.check_all_read(self._scopes)
        if self.unset:
            raise InputError(
                f"not set: {', '.join(self.unset)}; set each as --NAME=VALUE or in a gin file"
            )
        return root

    def _node(self, name: str, scopes: tuple[str, ...], default: Any, source: str) -> Node:
        configurable = self.bindings.configurables[name]
        node = Node("/".join([*scopes, name]), configurable, {}, {}, default)
        if node.name in self._route:
            raise InputError(f"{source}: @{node.name}() takes itself; set it to another value")
        if scopes:
            self._scopes["/".join(scopes)] = None
        self._route.append(node.name)
        values = self.bindings.read(name, scopes)
        for setting in configurable.settings.values():
            self._set(node, setting, *values.get(setting.name, (REQUIRED, "")))
        self._route.pop()
        return node

    def _set(self, node: Node, setting: Parameter, value: Any, source: str) -> None:
        value, source = self.bindings.expand(value, source)
        if value is REQUIRED:
            self._use_default(setting, node)
        elif gins.is_required(value):
            self.unset.append(f"{setting.key} (%gin.REQUIRED in {source})")
        else:
            inner = node.configurable.inner.get(setting.name)
            node.arguments[setting.name] = self._fit(setting, inner, value, source)
            node.sources[setting.name] = source

    def _use_default(self, setting: Parameter, node: Node) -> None:
        """Fills an unbound setting by its configurable's own node or its default."""
        inner = node.configurable.inner.get(setting.name)
        default = setting.default
        if dataclasses.is_dataclass(node.default):
            default = getattr(node.default, setting.name)
            if default != setting.default and not inner:
                node.arguments[setting.name] = default
        if inner and (default is not None or self.bindings.has_any(inner)):
            node.arguments[setting.name] = self._node(inner, (), default, "")
        elif default is REQUIRED and setting.key not in self._derived:
            self.unset.append(setting.key)

    def _fit(self, setting: Parameter, inner: str | None, value: Any, source: str) -> Any:
        unset = len(self.unset)
        plain = self._expand_entries(setting, self._replace(value, source), source)
        if len(self.unset) > unset:  # fitted once it is set
            return plain
        if isinstance(plain, Node) and plain.configurable.name == inner:
            return plain
        try:
            fitted = coercion.fit(plain, setting.hint)
        except coercion.MismatchError:
            raise InputError(
                f"{source}: {setting.key} is {to_gin(plain)}; expected {setting.type_name}"
            ) from None
        if isinstance(fitted, list | tuple) and "" in fitted:
            raise InputError(f"{source}: {setting.key} has an empty entry; set it without that one")
        return fitted

    def _expand_entries(self, setting: Parameter, value: Any, source: str) -> Any:
        """Replaces plain entries of a mapping by nodes, where settings are bound for their class.

        A class says by `shorthand` which of its fields an entry, or a tuple of some, stands for.
        A node has its key as scope, so that each can have settings of its own.
        """
        described = [cls for cls in dataclasses_in(setting.hint) if hasattr(cls, "shorthand")]
        if not described or not isinstance(value, dict):
            return value
        name, fields = described[0].__name__, described[0].shorthand
        return {
            key: self._entry_node(name, fields, str(key), entry, source)
            if isinstance(entry, str | pathlib.Path | tuple | list)
            else entry
            for key, entry in value.items()
        }

    def _entry_node(
        self, name: str, fields: tuple[str, ...], key: str, entry: Any, source: str
    ) -> Any:
        scope = re.sub(r"\W", "_", key)
        values = entry if isinstance(entry, tuple | list) else (entry,)
        is_bound = self.bindings.has_any(name) or self.bindings.has_any(f"{scope}/{name}")
        if not is_bound or not 0 < len(values) <= len(fields):
            return entry
        unset = len(self.unset)
        node = self._node(name, (scope,), None, source)
        settings = node.configurable.settings
        self.unset[unset:] = [
            line for line in self.unset[unset:] if line not in {settings[f].key for f in fields}
        ]
        for field, plain in zip(fields, values, strict=False):
            node.arguments[field] = self._fit(settings[field], None, plain, source)
            node.sources[field] = source
        return node

    def _replace(self, value: Any, source: str) -> Any:
        """Replaces macros by their values, and references by nodes."""
        value, macro = self.bindings.expand(value)
        if gins.is_required(value):
            self.unset.append(f"a macro in {macro}" if macro else "%gin.REQUIRED in a container")
            return None
        if gins.is_reference(value):
            if not value.evaluate:
                raise InputError(f"{source}: @{value.selector} lacks (); write @{value.selector}()")
            return self._node(value.selector, tuple(value.scopes), None, source)
        if isinstance(value, list | tuple):
            return type(value)(self._replace(v, source) for v in value)
        if isinstance(value, dict):
            return {k: self._replace(v, source) for k, v in value.items()}
        return value


def arguments(command: Command, root: Node) -> dict[str, Any]:
    """Returns the function's arguments; the objects of other stages are objects first."""
    derived: dict[str, Any] = {}
    objects = {}
    for name, dependency in command.dependencies.items():
        if name not in root.arguments:
            continue
        objects[name] = root.arguments[name].make({})
        derived |= {key: getattr(objects[name], attr) for key, attr in dependency.provides.items()}
    rest = dataclasses.replace(
        root, arguments={k: v for k, v in root.arguments.items() if k not in objects}
    )
    return {**rest.keywords(derived), **objects}
