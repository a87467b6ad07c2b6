"""The parts of Python's library and builtins that a problem may use: the same answer each time."""

import ast
import builtins
import importlib

# Modules without files, clocks, processes, networks or randomness; their submodules too.
_MODULES = """
    abc array ast base64 binascii bisect calendar cmath collections colorsys contextlib copy
    csv dataclasses datetime decimal difflib email.utils enum fnmatch fractions functools graphlib
    hashlib heapq hmac html inspect ipaddress itertools json keyword logging math numbers
    operator quopri re reprlib shlex statistics string stringprep struct textwrap token
    types typing unicodedata urllib.parse warnings zlib
"""
_OS = "sep linesep altsep extsep pardir curdir fspath"
_OS_PATH = """
    basename commonpath commonprefix dirname isabs join normcase normpath relpath sep split
    splitdrive splitext
"""
_SYS = "byteorder float_info hash_info int_info maxsize maxunicode version_info"
_IMPURE_BUILTINS = """
    __import__ breakpoint compile copyright credits delattr eval exec exit globals help id input
    license locals open print quit vars
"""
_CLOCKS = """
    now today utcnow fromtimestamp formatdate localtime make_msgid formatTime LogRecord
    makeLogRecord
"""
# Where a program stands, which differs between a package and a problem.
_PLACES = "__module__ __file__ __globals__ __code__ __builtins__ __subclasses__"
_MODULE_ATTRIBUTES = "__name__ __doc__ __file__ __package__ __spec__ __loader__ __path__"

MODULES = frozenset(_MODULES.split())
# Modules of which only some attributes are as pure.
_ATTRIBUTES = {
    "os": frozenset(_OS.split()),
    "os.path": frozenset(_OS_PATH.split()),
    "posixpath": frozenset(_OS_PATH.split()),
    "ntpath": frozenset(_OS_PATH.split()),
    "sys": frozenset(_SYS.split()),
    "io": frozenset(["BytesIO", "StringIO", "TextIOWrapper"]),
    "codecs": frozenset(["decode", "encode", "lookup", "BOM_UTF8", "BOM_UTF16"]),
}
_IMPURE_NAMES = frozenset(_IMPURE_BUILTINS.split())
_IMPURE_METHODS = frozenset(_CLOCKS.split())
_PLACE_NAMES = frozenset(_PLACES.split())
_GLOBAL_PLACES = frozenset(_MODULE_ATTRIBUTES.split())
MODULE_NAMES = frozenset(["__name__", "__debug__", "__build_class__"])
BUILTINS = frozenset(name for name in dir(builtins) if not name.startswith("__")) - _IMPURE_NAMES


def is_pure_module(name: str) -> bool:
    """Whether all of a module of the library may be used."""
    parts = name.split(".")
    return any(".".join(parts[:count]) in MODULES for count in range(1, len(parts) + 1))


def is_pure_import(source: str, name: str) -> bool:
    """Whether `from source import name` may be used."""
    is_clock = name in _IMPURE_METHODS
    return not is_clock and (is_pure_module(source) or name in _ATTRIBUTES.get(source, ()))


def exports(module: str, name: str) -> bool:
    """Whether `from module import *` may bind the name of a builtin; of strangers' it may."""
    if not is_pure_module(module):
        return True
    library = importlib.import_module(module)
    return name in getattr(library, "__all__", dir(library))


def impure_inner_import(tree: ast.AST) -> str:
    """Returns what an import within a function takes that isn't wholly pure, or ""."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if not is_pure_module(alias.name):
                    return alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if node.level or not is_pure_import(node.module or "", alias.name):
                    return f"{node.module}.{alias.name}"
    return ""


def impure_use(tree: ast.AST, local: str, module: str) -> str:
    """Returns an attribute of the module, bound to the name `local`, that isn't pure, or ""."""
    if is_pure_module(module):
        return ""
    if module not in _ATTRIBUTES:
        return module
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        is_use = isinstance(node, ast.Name) and node.id == local
        if is_use and (attribute := _impure_attribute(node, module, parents)):
            return attribute
    return ""


def _impure_attribute(node: ast.AST, module: str, parents: dict[ast.AST, ast.AST]) -> str:
    parent = parents.get(node)
    if not isinstance(parent, ast.Attribute):
        return module
    if module == "os" and parent.attr == "path":
        return _impure_attribute(parent, "os.path", parents)
    return "" if parent.attr in _ATTRIBUTES[module] else f"{module}.{parent.attr}"


def impure_method(tree: ast.AST) -> str:
    """Returns the name of a method that reads a clock, or ""."""
    names = (node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return next((name for name in names if name in _IMPURE_METHODS), "")


def called_name(call: ast.Call) -> str:
    """Returns the last name of the function that is called, or ""."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def module_attribute(tree: ast.AST) -> str:
    """Returns what a program reads of the module that it stands in, or ""; loggers may be named."""
    loggers: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called_name(node) == "getLogger":
            loggers.update(node.args)
        elif not isinstance(getattr(node, "ctx", None), ast.Load) or node in loggers:
            continue  # what is set isn't read
        elif isinstance(node, ast.Attribute) and node.attr in _PLACE_NAMES:
            return node.attr
        elif isinstance(node, ast.Name) and node.id in _GLOBAL_PLACES:
            return node.id
    return ""
