"""gin's layers, files first and then flags: every binding with the place where it was set.

gin parses values and holds the bindings. A name that no configurable has, a macro that nothing
uses and a binding that nothing reads pass in gin; here they are errors that name close matches.
"""

import dataclasses
import pathlib
import typing
from collections.abc import Iterable
from typing import Any

import gin
from gin import config as gin_config
from gin import config_parser

from codex_jax import InputError, coercion
from codex_jax.main import gin_files
from codex_jax.main.schema import Configurable
from codex_jax.suggestions import suggest

_MODULE = "codex_jax"


@dataclasses.dataclass(frozen=True)
class Flag:
    """A binding from the command line; `text` is the flag as typed, for messages."""

    text: str
    key: str
    value: str


class Bindings:
    """The bindings of a run, over the configurables that a command takes."""

    def __init__(self, configurables: dict[str, Configurable]):
        self.configurables = configurables
        self._macros: dict[str, str] = {}  # name → source of its last binding
        self._macro_uses: dict[str, str] = {}  # name → source of its first reference
        self._sources: dict[tuple[str, str], str] = {}  # ("scope/name", setting) → source
        self._unread: dict[tuple[str, str], str] = {}
        gin.clear_config()
        with gin_config.interactive_mode():  # lets a later command register a name again
            for name, configurable in configurables.items():
                gin.external_configurable(configurable.make, name=name, module=_MODULE)

    def read_file(self, path: pathlib.Path, *, parents: tuple[pathlib.Path, ...] = ()) -> None:
        """Adds a file's bindings, and those of the files it includes.

        Raises:
          InputError: naming file and line.
        """
        if path.resolve() in parents:
            raise InputError(f"{path}: includes itself; remove the include")
        if not path.is_file():
            raise InputError(f"{path}: no such gin file")
        for source, statement in gin_files.parse_file(path, self):
            if isinstance(statement, config_parser.IncludeStatement):
                included = gin_files.find_config(statement.filename, path.parent)
                self.read_file(included, parents=(*parents, path.resolve()))
            elif isinstance(statement, config_parser.BindingStatement):
                self._bind(statement, source)
            elif not isinstance(statement, config_parser.BlockDeclaration):
                raise InputError(f"{source}: imports are not needed here; remove the line")

    def read_flag(self, flag: Flag) -> None:
        """Adds a binding of the command line.

        A bare word is taken as a string, and for a sequence as items between commas.

        Raises:
          InputError: naming the flag.
        """
        value = self._to_gin(flag)
        self._bind(gin_files.parse_flag(flag.text, flag.key, value, self), flag.text)

    def _to_gin(self, flag: Flag) -> str:
        owner, _, name = flag.key.rpartition("/")[2].rpartition(".")
        configurable = self.configurables.get(owner)
        setting = configurable.settings.get(name) if configurable else None
        value = flag.value
        if value[:1] in ("@", "%", "'", '"') or value == "None":
            return value
        if setting and (items := _to_items(value, setting.hint)):
            return items
        is_text = setting and coercion.wants_text(setting.hint)
        return value if value and not is_text and gin_files.is_gin_value(value) else repr(value)

    def _bind(self, statement: config_parser.BindingStatement, source: str) -> None:
        scope = f"{statement.scope}/" if statement.scope else ""
        if not statement.arg_name:
            name = scope + statement.selector
            self._macros[name] = source
            gin.bind_parameter(f"{name}/gin.macro.value", statement.value)
            return
        owner = statement.selector
        self.check_name(owner, source)
        names = self.configurables[owner].settings
        if statement.arg_name not in names:
            hint = suggest(statement.arg_name, names)
            raise InputError(f"{source}: {owner} has no parameter {statement.arg_name!r}{hint}")
        key = (scope + owner, statement.arg_name)
        self._sources[key] = self._unread[key] = source
        gin.bind_parameter(f"{scope}{owner}.{statement.arg_name}", statement.value)

    def check_name(self, name: str, source: str) -> None:
        """Raises InputError unless a configurable has this name."""
        if name not in self.configurables:
            hint = suggest(name, self.configurables)
            raise InputError(f"{source}: nothing here is called {name!r}{hint}")

    def check_macros(self) -> None:
        """Raises InputError for a macro that nothing uses, is set nowhere or leads to itself."""
        for name, source in self._macros.items():
            if name not in self._macro_uses:
                hint = suggest(name, self._macro_uses) or "; no macro is used here"
                raise InputError(f"{source}: macro {name} is set but nothing uses it{hint}")
        for name, source in self._macro_uses.items():
            if name not in self._macros:
                hint = suggest(name, self._macros)
                raise InputError(f"{source}: macro {name} is used but set nowhere{hint}")
        for name in self._macros:
            self._check_cycle(name)

    def check_all_read(self, scopes: Iterable[str]) -> None:
        """Raises InputError for a binding that nothing has read.

        Args:
          scopes: Those in use, to suggest one.
        """
        for (owner, setting), source in self._unread.items():
            scope, _, name = owner.rpartition("/")
            if scope and scope not in scopes:
                hint = suggest(scope, scopes) or "; no scope is in use"
                raise InputError(f"{source}: no @{owner}() is in use{hint}")
            raise InputError(
                f"{source}: nothing reads {owner}.{setting}: no {name} is in use; remove it, "
                f"or set a parameter to @{owner}()"
            )

    def read(self, name: str, scopes: tuple[str, ...] = ()) -> dict[str, tuple[Any, str]]:
        """Returns setting → (value, source) of a configurable in a scope; outer scopes count.

        Values may hold references.
        """
        with gin.config_scope("/".join(scopes) or None):
            values = gin.get_bindings(f"{_MODULE}.{name}", resolve_references=False)
        return {key: (value, self._source(name, key, scopes)) for key, value in values.items()}

    def _source(self, name: str, setting: str, scopes: tuple[str, ...]) -> str:
        keys = [
            ("/".join([*scopes[:depth], name]), setting) for depth in range(len(scopes), -1, -1)
        ]
        for key in keys:
            self._unread.pop(key, None)
        return next((self._sources[key] for key in keys if key in self._sources), "")

    def has_any(self, name: str) -> bool:
        """Whether anything is bound to a configurable, outside all scopes."""
        return any(owner == name for owner, _ in self._sources)

    def expand(self, value: Any, source: str = "") -> tuple[Any, str]:
        """Returns (value, source) with a macro replaced by its value, through macros of macros."""
        while name := _macro_name(value):
            value, source = self._macro_value(name), self._macros[name]
        return value, source

    def _macro_value(self, name: str) -> Any:
        return gin.query_parameter(f"{name}/gin.macro.value")

    def _check_cycle(self, name: str, route: tuple[str, ...] = ()) -> None:
        """Raises InputError for a macro that leads to itself, through containers too."""
        if name in route:
            path = " → ".join([*route[route.index(name) :], name])
            raise InputError(f"{self._macros[name]}: macro {name} refers to itself: {path}")
        for inner in _macros_in(self._macro_value(name)):
            self._check_cycle(inner, (*route, name))

    def use_macro(self, name: str, source: str) -> None:
        """Records a reference to a macro."""
        self._macro_uses.setdefault(name, source)


def _to_items(value: str, hint: Any) -> str:
    """Returns gin's tuple of the items between commas; empty where the hint wants no sequence."""
    sequence = coercion.sequence_hint(hint)
    items = value.split(",")
    if sequence is None or not all(items) or value[:1] in "[({":
        return ""
    if len(items) == 1 and set(coercion.options(hint)) - {sequence, type(None)}:
        return ""
    if coercion.wants_text((typing.get_args(sequence) or (str,))[0]):
        items = list(map(repr, items))
    return f"({', '.join(items)},)" if all(map(gin_files.is_gin_value, items)) else ""


def is_reference(value: Any) -> bool:
    """Whether a value is gin's reference to a macro, a configurable or %gin.REQUIRED."""
    return isinstance(value, gin_config.ConfigurableReference)


def _macro_name(value: Any) -> str:
    """The name of the macro that a value refers to; empty if it is none."""
    is_macro = is_reference(value) and value.configurable.selector == "gin.macro"
    return "/".join(value.scopes) if is_macro else ""


def _macros_in(value: Any) -> list[str]:
    """Names of the macros in a value and its containers."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple):
        return [name for item in value for name in _macros_in(item)]
    return [name] if (name := _macro_name(value)) else []


def is_required(value: Any) -> bool:
    """Whether a value is %gin.REQUIRED."""
    return is_reference(value) and value.configurable.selector == "gin.constant"
