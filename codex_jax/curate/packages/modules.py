"""Modules of a package, parsed: the names that each binds, and what an import within it names."""

import ast
import functools
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from codex_jax import problem_texts
from codex_jax.curate.packages.archives import Archive

_TEST_PATH = re.compile(
    r"(^|/)(tests?|testing|_tests?|conftest\.py|test_[^/]*|[^/]*_tests?\.py)(/|$)"
)
_VENDOR_PATH = re.compile(r"(^|/)(_?vendor(ed)?|_?extern(als?)?|third_party|_libs)(/|$)")

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Binding(NamedTuple):
    """A name that a module binds at its top level.

    A definition or an assignment has its statement alone; an import also the module it imports
    from, and the name there ("" for the module itself).
    """

    node: ast.stmt
    source: str = ""
    name: str = ""


class Module:
    """A source file of a package."""

    def __init__(self, name: str, path: str, text: str, *, is_package: bool):
        self.name, self.path, self.text, self.is_package = name, path, text, is_package

    @property
    def is_test(self) -> bool:
        """Whether it belongs to the package's tests, by its path."""
        return bool(_TEST_PATH.search(self.path))

    @property
    def is_vendored(self) -> bool:
        """Whether it is a copy of somebody else's, by its path; its license may be another."""
        return bool(_VENDOR_PATH.search(self.path))

    @functools.cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree; an empty one if it doesn't parse."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # invalid escapes
                return ast.parse(self.text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return ast.Module([], [])

    @functools.cached_property
    def lines(self) -> list[str]:
        """Its lines, with their ends."""
        return problem_texts.split_lines(self.text)

    @functools.cached_property
    def bindings(self) -> dict[str, list[Binding]]:
        """Name → its top-level bindings, in order; those in `try` and `if` too."""
        names: dict[str, list[Binding]] = {}
        for node in _statements(self.tree.body):
            for name, binding in self._bind(node):
                names.setdefault(name, []).append(binding)
        return names

    @functools.cached_property
    def changed(self) -> frozenset[str]:
        """Names of constants that other statements of the top level may change."""
        names: set[str] = set()
        for node in self.tree.body:
            if isinstance(node, ast.For | ast.While | ast.AugAssign | ast.Delete | ast.With):
                names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                names |= {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
            elif isinstance(node, ast.Assign):
                targets = [t for t in node.targets if not isinstance(t, ast.Name)]
                names |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        return frozenset(names)

    def _bind(self, node: ast.stmt) -> Iterator[tuple[str, Binding]]:
        if isinstance(node, Function | ast.ClassDef):
            yield node.name, Binding(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (target.id for target in targets if isinstance(target, ast.Name))
            yield from ((name, Binding(node)) for name in names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                source = alias.name if alias.asname else alias.name.partition(".")[0]
                yield alias.asname or source, Binding(node, source)
        elif isinstance(node, ast.ImportFrom):
            source = self.absolute(node)
            for alias in node.names:
                yield alias.asname or alias.name, Binding(node, source, alias.name)

    def absolute(self, node: ast.ImportFrom) -> str:
        """Returns the full name of the module that a `from` names."""
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        parts = parts if self.is_package else parts[:-1]
        parts = parts[: len(parts) - node.level + 1]
        return ".".join([*parts, *filter(None, [node.module])])


class Package:
    """The modules of an archive, by their full names."""

    def __init__(self, archive: Archive):
        self.archive = archive
        self.modules: dict[str, Module] = {}
        folders = {path.rpartition("/")[0] for path in archive.sources if _is_init(path)}
        for path, text in archive.sources.items():
            name = _module_name(path, folders)
            if name and name not in self.modules:
                self.modules[name] = Module(name, path, text, is_package=_is_init(path))

    def find(self, name: str) -> Module | None:
        """Returns the package's module of that name."""
        return self.modules.get(name)

    @functools.cached_property
    def roots(self) -> frozenset[str]:
        """First words of the names of its modules."""
        return frozenset(name.partition(".")[0] for name in self.modules)


def _is_init(path: str) -> bool:
    return path.rpartition("/")[2] == "__init__.py"


def _module_name(path: str, folders: set[str]) -> str:
    """Returns a module's full name by the folders above it that are packages."""
    folder, _, file = path.rpartition("/")
    stem = file.removesuffix(".py")
    parts = [] if stem == "__init__" else [stem]
    while folder and folder in folders:
        folder, _, last = folder.rpartition("/")
        parts.insert(0, last)
    return ".".join(parts) if all(part.isidentifier() for part in parts) else ""


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            inner = [*node.body, *node.orelse]
            for handler in getattr(node, "handlers", []):
                inner += handler.body
            yield from _statements(inner)
        else:
            yield node


def documented_functions(module: Module) -> Iterator[ast.FunctionDef]:
    """Yields the top-level functions that have a docstring, but for those of Python's own names."""
    for node in module.tree.body:
        is_special = isinstance(node, ast.FunctionDef) and node.name.startswith("__")
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) and not is_special:
            yield node


def top_level_functions(package: Package) -> Mapping[tuple[str, str], ast.FunctionDef]:
    """Returns (module, name) → the function, of all modules that are no tests."""
    return {
        (module.name, node.name): node
        for module in package.modules.values()
        if not module.is_test and not module.is_vendored
        for node in module.tree.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("__")
    }
