"""gin files: where they are found, and their statements with file and line."""

import pathlib
import tokenize
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Protocol

from gin import config as gin_config
from gin import config_parser

import codex_jax
from codex_jax import InputError


class NameChecker(Protocol):
    """Checks the names that a gin text refers to, as the parser meets them."""

    def check_name(self, name: str, source: str) -> None:
        """Raises InputError unless a configurable has this name."""

    def use_macro(self, name: str, source: str) -> None:
        """Records a reference to a macro."""


def config_dir() -> pathlib.Path:
    """Returns the folder gin_configs: next to the package in a checkout, inside it if installed."""
    package = pathlib.Path(codex_jax.__file__).parent
    inside = package / "gin_configs"
    return inside if inside.is_dir() else package.parent / "gin_configs"


def find_config(name: str, folder: pathlib.Path = pathlib.Path()) -> pathlib.Path:
    """Finds a gin file in `folder` (the working directory by default), or in our gin_configs.

    Raises:
      InputError: neither has it.
    """
    shipped = config_dir() / name.removeprefix("gin_configs/")
    for path in (folder / name, shipped):
        if path.is_file():
            return path
    raise InputError(f"{folder / name}: no such gin file; expected it there or in {config_dir()}")


def parse_file(path: pathlib.Path, names: NameChecker) -> Iterator[tuple[str, Any]]:
    """Yields ("file:line", gin's statement) of a file.

    Raises:
      InputError: malformed text, naming file and line.
    """
    with _SyntaxErrors(str(path), with_lines=True):
        parser = _Delegate(names, str(path), with_lines=True).parser(_read(path))
        while statement := parser.parse_statement():
            yield f"{path}:{statement.location.line_num}", statement


def parse_flag(text: str, key: str, value: str, names: NameChecker) -> Any:
    """Returns gin's statement `key = value`; `text` is the flag as typed, for messages."""
    with _SyntaxErrors(text):
        return _Delegate(names, text).parser(f"{key} = {value}").parse_statement()


def is_gin_value(text: str) -> bool:
    """Whether a text from the shell is a gin literal, or begins like one."""
    try:
        parser = config_parser.ConfigParser(text, gin_config.ParserDelegate())
        parser.parse_value()
        return parser.current_token.string == ""
    except (SyntaxError, tokenize.TokenError, RecursionError):
        return text[0] in "[({"


def _read(path: pathlib.Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise InputError(f"{path}:{line}: byte {byte:#04x} is not UTF-8; save as UTF-8") from None


class _Delegate(gin_config.ParserDelegate):
    """Makes gin's references after checking their names."""

    def __init__(self, names: NameChecker, source: str, *, with_lines: bool = False):
        super().__init__()
        self._names, self._file, self._with_lines = names, source, with_lines

    def parser(self, text: str) -> config_parser.ConfigParser:
        self._parser = config_parser.ConfigParser(text, self)
        return self._parser

    @property
    def _source(self) -> str:
        line = f":{self._parser.current_token.start[0]}" if self._with_lines else ""
        return self._file + line

    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> Any:
        self._names.check_name(scoped_configurable_name.rpartition("/")[2], self._source)
        return super().configurable_reference(scoped_configurable_name, evaluate)

    def macro(self, macro_name: str) -> Any:
        if macro_name != "gin.REQUIRED":
            self._names.use_macro(macro_name, self._source)
        return super().macro(macro_name)


class _SyntaxErrors:
    """Turns gin's syntax errors into one line that begins with the source."""

    def __init__(self, source: str, *, with_lines: bool = False):
        self._source, self._with_lines = source, with_lines

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, InputError):  # gin has added lines of its own to ours
            raise InputError(str(error).splitlines()[0]) from None
        if isinstance(error, RecursionError):
            raise InputError(f"{self._source}: too many brackets within each other") from None
        if isinstance(error, SyntaxError | tokenize.TokenError):
            message = getattr(error, "msg", None) or str(error.args[0])
            if message.startswith("malformed node"):  # which names an object of Python's parser
                message = "a name that is no value; write texts in quotes"
            number = error.args[1][0] if isinstance(error, tokenize.TokenError) else error.lineno
            line = f":{number}" if self._with_lines and number else ""
            raise InputError(f"{self._source}{line}: {message.splitlines()[0]}") from None
