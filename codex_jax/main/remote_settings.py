"""Settings that name gs:// paths: read as they are, copied here, written back, or refused."""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from codex_jax import InputError
from codex_jax.main.commands import Command
from codex_jax.main.config_text import Node
from codex_jax.main.schema import Parameter
from codex_jax.remote.paths import check_path, is_remote, scheme_of, url_of

# Of every command; "Owner.setting" where an owner's alone.
_NATIVE = {"checkpoint_dir", "init_from", "BatchReader.rows", "data.inspect.rows"}
_NATIVE |= {"data.cache.output", "data.build.cached", "sample.output"}
_INPUTS = {"tokenizer", "problems", "completions", "verdicts", "benchmarks", "baseline"}
_INPUTS |= {"report.metrics", "import.source", "curate.contests.contests"}
_OUTPUTS = {"output", "sample.batch_output", "compile.hlo_output", "import.tokenizer"}
_LOCAL = {"sweep.output"}  # commands of their own write there
# Sentences, patterns and names, which may hold anything.
_TEXTS = {"stops", "title", "model_name", "license", "licenses", "grid", "options", "cors_origins"}


def _is_in(names: set[str], setting: Parameter) -> bool:
    return setting.key in names or (setting.name in names and setting.key not in _LOCAL)


def check_paths(node: Node) -> None:
    """Refuses paths of a configuration that are unset, or where no command here reads or writes.

    Raises:
      InputError: the first of them.
    """
    for name, value in node.arguments.items():
        _check(node.configurable.settings[name], value)


def _check(setting: Parameter, value: Any) -> None:
    if isinstance(value, Node):
        check_paths(value)
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            _check(setting, item)
    elif isinstance(value, str | pathlib.Path) and not _is_in(_TEXTS, setting):
        is_supported = any(_is_in(names, setting) for names in (_NATIVE, _INPUTS, _OUTPUTS))
        is_unset = str(value) == "" and setting.default == ""
        if scheme_of(str(value).strip()) or (is_supported and not is_unset):
            check_path(url_of(value), setting.name, remote=is_supported)


@contextlib.contextmanager
def localized(command: Command, root: Node) -> Iterator[Node]:
    """Yields a command's configuration with local paths; what is written there is uploaded.

    Raises:
      InputError: the bucket can't be read or written.
    """
    with contextlib.ExitStack() as stack:
        names: dict[str, str] = {}  # local path → URL, for messages
        _check_collisions(root)
        rewrite = _Rewriter(command, stack, names)
        node = rewrite.node(root)
        try:
            yield node
        except InputError as error:
            text = str(error)
            for local in sorted(names, key=len, reverse=True):
                text = text.replace(local, names[local])
            raise InputError(text) from None


def _check_collisions(root: Node) -> None:
    """Refuses an output in a bucket that is another output, or is or holds an input.

    A command sees copies of them, in which it wouldn't notice.
    """
    paths = [(setting, url_of(value).rstrip("/")) for setting, value in _remote_paths(root)]
    for index, (setting, url) in enumerate(paths):
        if not _is_output(setting):
            continue
        for other, text in paths[:index] + paths[index + 1 :]:
            is_within = text.startswith(f"{url}/") and not _is_output(other)
            if url == text or (is_within and _is_in(_INPUTS, other)):
                raise InputError(
                    f"{text} is {other.name}, which would be replaced; set {setting.name} to "
                    "another path"
                )


def _is_output(setting: Parameter) -> bool:
    return _is_in(_OUTPUTS, setting) or setting.key == "sample.output"


def _remote_paths(node: Node) -> Iterator[tuple[Parameter, Any]]:
    """Yields the gs:// paths of a configuration, each with its setting."""
    for name, value in node.arguments.items():
        for item in _items(value):
            if isinstance(item, Node):
                yield from _remote_paths(item)
            elif not _is_in(_TEXTS, node.configurable.settings[name]) and is_remote(item):
                yield node.configurable.settings[name], item


def _items(value: Any) -> Iterator[Any]:
    """Yields the nodes and paths in a value."""
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _items(item)
    elif isinstance(value, Node | str | pathlib.Path):
        yield value


class _Rewriter:
    """Replaces gs:// paths in a tree of nodes, and opens what they need on a stack."""

    def __init__(self, command: Command, stack: contextlib.ExitStack, names: dict[str, str]):
        self._command = command
        self._stack = stack
        self._names = names

    def node(self, node: Node) -> Node:
        """Returns the node with local paths."""
        values = {name: self._value(node, name, v) for name, v in node.arguments.items()}
        return Node(node.name, node.configurable, values, node.sources, node.default)

    def _value(self, node: Node, setting: str, value: Any) -> Any:
        if isinstance(value, Node):
            return self.node(value)
        if isinstance(value, dict):
            return {key: self._value(node, setting, item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._value(node, setting, item) for item in value)
        if not isinstance(value, str | pathlib.Path):
            return value
        return self._path(node.configurable.settings[setting], value)

    def _path(self, setting: Parameter, value: str | pathlib.Path) -> str | pathlib.Path:
        if not is_remote(value) or _is_in(_TEXTS, setting):
            return value
        url = url_of(value)
        if _is_in(_NATIVE, setting):
            return url
        copy = self._output if _is_in(_OUTPUTS, setting) else self._input
        local = copy(url)
        self._names[local] = url
        return local

    def _input(self, url: str) -> str:
        from codex_jax.remote.mirror import local_copy

        return self._stack.enter_context(local_copy(url))

    def _output(self, url: str) -> str:
        from codex_jax.remote.mirror import mirrored

        options: dict[str, Any] = _MIRRORS.get(self._command.name, dict)()
        if "root" in options:
            options["root"] = options["root"] / url.rpartition("/")[0].removeprefix("gs://")
        return str(self._stack.enter_context(mirrored(url, **options)))


def _rows_options() -> dict[str, Any]:
    """Options for rows: large files aren't read again, and a killed build's shards stay here."""
    folder = os.environ.get("CODEX_JAX_CACHE", "~/.cache/codex_jax")
    is_small: Callable[[str], bool] = lambda name: name.endswith("meta.json")  # noqa: E731
    root = pathlib.Path(folder).expanduser() / "gs"
    return {"root": root, "fetches": is_small, "mark": "meta.json"}


_MIRRORS: dict[str, Callable[[], dict[str, Any]]] = {
    "data build": _rows_options,
    "import": lambda: {"mark": "commit_success.txt"},
}
