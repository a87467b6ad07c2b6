"""The modules that run inside a sandbox, as one message, and the program that loads them there."""

import functools
import importlib.machinery
import importlib.util
import marshal
import pathlib
import re

_ROOM = "codex_jax.evaluate.sandbox"
_OUR_IMPORT = re.compile(
    rf"^[ ]*from ({re.escape(_ROOM)}[.\w]*) import (?:\(([^)]*)\)|([^(#\n]*))", re.MULTILINE
)
_FOLDER = pathlib.Path(__file__).parent
LOADER = """import sys, os, marshal, _frozen_importlib_external
def read(count):
    parts = b""
    while len(parts) < count:
        parts += os.read(0, count - len(parts)) or os._exit(0)
    return parts
def load(name, text, code, namespace):
    exec(marshal.loads(code) if same_version else compile(text, name, "exec"), namespace)
def package(name):
    if name not in sys.modules:
        sys.modules[name] = type(sys)(name)
        parent, _, leaf = name.rpartition(".")
        if parent:
            setattr(package(parent), leaf, sys.modules[name])
    return sys.modules[name]
magic, modules = marshal.loads(read(int.from_bytes(read(4), "big")))
same_version = _frozen_importlib_external.MAGIC_NUMBER == magic
while len(modules) > 1:
    name, text, code = modules.pop(0)
    load(name, text, code, package(name).__dict__)
del text, code
load(*modules.pop(), globals())
"""


@functools.cache
def pack_modules(entry: str) -> bytes:
    """Returns the guest's module `entry` and all that it imports of ours, for LOADER to read.

    Each has its text and its code, which a Python of the same version uses.
    """
    packed = []
    for name in import_order(f"{_ROOM}.guest.{entry}"):
        loader = importlib.machinery.SourceFileLoader(name, str(_path(name)))
        packed.append((name, loader.get_source(name), marshal.dumps(loader.get_code(name))))
    modules = marshal.dumps((importlib.util.MAGIC_NUMBER, packed), 2)
    return len(modules).to_bytes(4, "big") + modules


def import_order(name: str) -> list[str]:
    """Returns the full names of the module and of ours that it imports, imported ones first."""
    order: list[str] = []
    for imported in _imports(name):
        order += [module for module in import_order(imported) if module not in order]
    return [*order, name]


@functools.cache
def _imports(name: str) -> tuple[str, ...]:
    """Returns our modules that the module imports, by `from FOLDER import MODULES`."""
    text = _path(name).read_text(encoding="utf-8")  # to parse it would take ten times as long
    return tuple(
        f"{folder}.{module}"
        for folder, *names in _OUR_IMPORT.findall(text)
        for module in re.findall(r"\w+", "".join(names))
    )


def _path(name: str) -> pathlib.Path:
    return _FOLDER.joinpath(*name.removeprefix(f"{_ROOM}.").split(".")).with_suffix(".py")
