"""gin's layers, files first and then flags: every binding known by where it was set.

gin parses values and holds the bindings; what it lets pass in silence is an error here: a macro
that nothing uses, a name that nothing has. Names that come close are given.
"""

import dataclasses
import difflib
import pathlib
import tokenize
from collections.abc import Iterable, Iterator
from typing import Any

import gin
from gin import config as gin_config
from gin import config_parser

from codex_jax import InputError
from codex_jax.main import coercion
from codex_jax.main.schema import Description

_MODULE = "codex_jax"


@dataclasses.dataclass(frozen=True)
class Flag:
    """A binding from the command line: `text` as typed, for messages."""

    text: str
    key: str
    value: str


def near(name: str, known: Iterable[str]) -> str:
    """A clause naming what comes close; where nothing does, all there is, if that is few."""
    names = sorted(known)
    lower = {other.lower(): other for other in names}
    close = difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.6)
    if close:
        return f"; did you mean {' or '.join(lower[other] for other in close)}?"
    return f"; known: {', '.join(names)}" if 0 < len(names) <= 40 else ""


class Bindings:
    """The bindings of one run, over the descriptions that a verb reaches."""

    def __init__(self, descriptions: dict[str, Description]):
        self.descriptions = descriptions
        self._macros: dict[str, str] = {}  # name → where it was set last
        self._used: dict[str, str] = {}  # macro → where it was referenced first
        self._where: dict[tuple[str, str], str] = {}  # ("scope/name", setting) → where
        gin.clear_config()
        with gin_config.interactive_mode():  # a name may have meant something else before
            for name, description in descriptions.items():
                gin.external_configurable(description.make, name=name, module=_MODULE)

    def read_file(self, path: pathlib.Path, *, within: tuple[pathlib.Path, ...] = ()) -> None:
        """Adds a file's bindings, and those of the files it includes.

        Raises:
          InputError: naming file and line.
        """
        if path in within:
            raise InputError(f"{path}: includes itself, through {within[-1]}")
        if not path.is_file():
            raise InputError(f"{path}: no such gin file")
        for statement in _statements(path, self):
            where = f"{path}:{statement.location.line_num}"
            if isinstance(statement, config_parser.IncludeStatement):
                included = path.parent / statement.filename
                self.read_file(included, within=(*within, path))
            elif isinstance(statement, config_parser.BindingStatement):
                self._bind(statement, where)
            elif not isinstance(statement, config_parser.BlockDeclaration):
                raise InputError(f"{where}: imports are not needed here; remove the line")

    def read_flag(self, flag: Flag) -> None:
        """Adds one binding of the command line; a bare word stands for a string.

        Raises:
          InputError: naming the flag.
        """
        value = flag.value
        if self._is_bare(flag.key, value):
            value = repr(value)
        with _Located(flag.text):
            statement = _Delegate(self, flag.text).parser(f"{flag.key} = {value}").parse_statement()
        self._bind(statement, flag.text)

    def _is_bare(self, key: str, value: str) -> bool:
        owner, _, name = key.rpartition("/")[2].rpartition(".")
        known = self.descriptions.get(owner)
        if value[:1] in ("@", "%", "'", '"') or not value:
            return not value
        if known and name in known.settings and coercion.wants_text(known.settings[name].hint):
            return value != "None"
        try:
            parser = config_parser.ConfigParser(value, gin_config.ParserDelegate())
            parser.parse_value()
            return parser.current_token.string != ""
        except (SyntaxError, tokenize.TokenError):
            return value[0] not in "[({"

    def _bind(self, statement: config_parser.BindingStatement, where: str) -> None:
        scope = f"{statement.scope}/" if statement.scope else ""
        if not statement.arg_name:
            name = scope + statement.selector
            self._macros[name] = where
            gin.bind_parameter(f"{name}/gin.macro.value", statement.value)
            return
        owner = statement.selector.rpartition(".")[2]
        self.check_name(owner, where)
        if statement.arg_name not in self.descriptions[owner].settings:
            names = self.descriptions[owner].settings
            hint = near(statement.arg_name, names)
            raise InputError(f"{where}: {owner} has no parameter {statement.arg_name!r}{hint}")
        self._where[scope + owner, statement.arg_name] = where
        gin.bind_parameter(f"{scope}{owner}.{statement.arg_name}", statement.value)

    def check_name(self, name: str, where: str) -> None:
        """Raises InputError where no description has this name."""
        if name not in self.descriptions:
            raise InputError(f"{where}: nothing here is called {name!r}{near(name, self._names)}")

    @property
    def _names(self) -> set[str]:
        return set(self.descriptions)

    def check_macros(self) -> None:
        """Raises InputError for a macro set but used nowhere, or used but set nowhere."""
        for name, where in self._macros.items():
            if name not in self._used:
                hint = near(name, self._used) or "; no macro is used here"
                raise InputError(f"{where}: macro {name} is set but nothing uses it{hint}")
        for name, where in self._used.items():
            if name not in self._macros:
                hint = near(name, self._macros)
                raise InputError(f"{where}: macro {name} is used but set nowhere{hint}")

    def of(self, name: str, scopes: tuple[str, ...] = ()) -> dict[str, tuple[Any, str]]:
        """Setting → (value, where it was set), of a description in a scope; outer ones count.

        Values may hold references; `macro` and `reference` take them apart.
        """
        with gin.config_scope("/".join(scopes) or None):
            found = gin.get_bindings(f"{_MODULE}.{name}", resolve_references=False)
        return {setting: (v, self._source(name, setting, scopes)) for setting, v in found.items()}

    def _source(self, name: str, setting: str, scopes: tuple[str, ...]) -> str:
        for depth in range(len(scopes), -1, -1):
            if where := self._where.get(("/".join([*scopes[:depth], name]), setting)):
                return where
        return ""

    def macro(self, value: Any) -> tuple[Any, str] | None:
        """(value, where it was set) of the macro that a value is, or None."""
        if not is_reference(value) or value.configurable.selector != "gin.macro":
            return None
        name = "/".join(value.scopes)
        return gin.query_parameter(f"{name}/gin.macro.value"), self._macros[name]

    def used(self, macro: str, where: str) -> None:
        """Notes that a value refers to a macro."""
        self._used.setdefault(macro, where)


def is_reference(value: Any) -> bool:
    """Whether gin left a reference: a macro, a description, or %gin.REQUIRED."""
    return isinstance(value, gin_config.ConfigurableReference)


def is_required(value: Any) -> bool:
    """Whether a value is %gin.REQUIRED."""
    return is_reference(value) and value.configurable.selector == "gin.constant"


class _Delegate(gin_config.ParserDelegate):
    """Makes gin's references, having checked their names; knows where the parser stands."""

    def __init__(self, bindings: Bindings, where: str, *, lines: bool = False):
        super().__init__()
        self._bindings, self._where, self._lines = bindings, where, lines

    def parser(self, text: str) -> config_parser.ConfigParser:
        self._parser = config_parser.ConfigParser(text, self)
        return self._parser

    @property
    def where(self) -> str:
        line = f":{self._parser.current_token.start[0]}" if self._lines else ""
        return self._where + line

    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool):
        self._bindings.check_name(scoped_configurable_name.rpartition("/")[2], self.where)
        return super().configurable_reference(scoped_configurable_name, evaluate)

    def macro(self, macro_name: str):
        if macro_name != "gin.REQUIRED":
            self._bindings.used(macro_name, self.where)
        return super().macro(macro_name)


class _Located:
    """Turns gin's errors of syntax into one line that begins with where."""

    def __init__(self, where: str, *, lines: bool = False):
        self.where, self.lines = where, lines

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, InputError):  # gin has added lines of its own to ours
            raise InputError(str(error).splitlines()[0]) from None
        if isinstance(error, SyntaxError | tokenize.TokenError | UnicodeDecodeError):
            found = getattr(error, "msg", None) or str(error.args[0])
            number = error.args[1][0] if isinstance(error, tokenize.TokenError) else None
            number = getattr(error, "lineno", number)
            line = f":{number}" if self.lines and number else ""
            raise InputError(f"{self.where}{line}: {found.splitlines()[0]}") from None


def _statements(path: pathlib.Path, bindings: Bindings) -> Iterator[Any]:
    with _Located(str(path), lines=True):
        parser = _Delegate(bindings, str(path), lines=True).parser(path.read_text("utf-8"))
        while statement := parser.parse_statement():
            yield statement
