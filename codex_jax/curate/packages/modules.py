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

_MOST_HOPS = 4  # from star to star
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Binding(NamedTuple):
    """A name that a module binds at its top level.

    A definition or an assignment has its statement alone; an import also the module it imports
    from, and the name there ("" for the module itself).
    """

    node: ast.stmt
    source: str = ""
    name: str = ""
    outer: ast.stmt | None = None  # the statement of the top level that it stands in, if another


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
        """Name → its top-level bindings, in order; those in `try`, `if` and their like too."""
        names: dict[str, list[Binding]] = {}
        for top in self.tree.body:
            for node in _statements(top):
                for name, binding in self.bind(node):
                    outer = None if node is top else top
                    names.setdefault(name, []).append(binding._replace(outer=outer))
        return names

    def may_export(self, name: str) -> bool:
        """Whether a star import of the module may bind a name."""
        return not name.startswith("_") if self._listed is None else name in self._listed

    @functools.cached_property
    def _listed(self) -> list[str] | None:
        """The names of `__all__`, where it is one list of texts; None otherwise."""
        names = [node for node in ast.walk(self.tree) if getattr(node, "id", "") == "__all__"]
        bindings = self.bindings.get("__all__", [])
        if len(names) != 1 or len(bindings) != 1 or not isinstance(bindings[0].node, ast.Assign):
            return None
        try:
            return list(ast.literal_eval(bindings[0].node.value))
        except (ValueError, TypeError):
            return None

    def bind(self, node: ast.stmt) -> Iterator[tuple[str, Binding]]:
        """Yields the names that a statement binds itself, each with its binding."""
        if isinstance(node, Function | ast.ClassDef):
            yield node.name, Binding(node)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                source = alias.name if alias.asname else alias.name.partition(".")[0]
                yield alias.asname or source, Binding(node, source)
        elif isinstance(node, ast.ImportFrom):
            source = self.absolute(node)
            for alias in node.names:
                yield alias.asname or alias.name, Binding(node, source, alias.name)
        else:
            yield from ((name, Binding(node)) for name in _stored_names(node))

    def absolute(self, node: ast.ImportFrom) -> str:
        """Returns the full name of the module that a `from` names.

        It begins with a dot, as no module's does, where the folders above are of unknown names.
        """
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        parts = parts if self.is_package else parts[:-1]
        if node.level > len(parts):
            return "." + (node.module or "")
        parts = parts[: len(parts) - node.level + 1]
        return ".".join([*parts, *filter(None, [node.module])])


class Package:
    """The modules of an archive, by their full names."""

    def __init__(self, archive: Archive):
        self.archive = archive
        self.modules: dict[str, Module] = {}
        self._ambiguous: set[str] = set()  # names of two files that differ
        folders = {path.rpartition("/")[0] for path in archive.sources if _is_init(path)}
        for path, text in archive.sources.items():
            name = _module_name(path, folders)
            if name and name not in self.modules:
                self.modules[name] = Module(name, path, text, is_package=_is_init(path))
            elif name and self.modules[name].text != text:
                self._ambiguous.add(name)

    def find(self, name: str) -> Module | None:
        """Returns the package's only module of that name."""
        return None if name in self._ambiguous else self.modules.get(name)

    def owners(self, module: Module, name: str) -> list[Module]:
        """Returns the modules in which a global of a module is bound.

        That is the module itself, else those of the package whose names it imports by stars.
        """
        modules = [module]
        for other in modules:  # grows
            if name not in module.bindings:
                sources = (self.find(star.source) for star in other.bindings.get("*", []))
                modules += {source: None for source in sources if source and source not in modules}
        return [other for other in modules if name in other.bindings]

    def exports(self, source: str, name: str, hops: int = _MOST_HOPS) -> bool:
        """Whether `from source import *` may bind a name, of a module of the package."""
        module = self.find(source) if hops else None
        if module is None or not module.may_export(name):
            return False
        stars = module.bindings.get("*", [])
        is_deep = any(self.exports(star.source, name, hops - 1) for star in stars)
        return is_deep or name in module.bindings

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


def _statements(node: ast.stmt) -> Iterator[ast.stmt]:
    """Yields a statement and those in it that run with it, not those of functions and classes."""
    stack: list[ast.AST] = [node]  # a chain of `elif` may be deep
    while stack:
        part = stack.pop()
        if isinstance(part, ast.stmt):
            yield part
        if not isinstance(part, Function | ast.ClassDef):
            parts = ast.iter_child_nodes(part)
            kinds = ast.stmt | ast.ExceptHandler | ast.match_case
            stack += reversed([inner for inner in parts if isinstance(inner, kinds)])


def _stored_names(statement: ast.stmt) -> Iterator[str]:
    """Yields the names that a statement binds or deletes itself, by whatever syntax."""
    if isinstance(statement, ast.AnnAssign) and statement.value is None:
        return
    stack: list[ast.AST] = [statement]  # of expressions, which may be deep
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        for field in ("name", "rest"):  # of handlers and patterns
            if isinstance(name := getattr(node, field, None), str):
                yield name
        own = node.target if isinstance(node, ast.comprehension) else None
        children = (child for child in ast.iter_child_nodes(node) if child is not own)
        stack += (child for child in children if not isinstance(child, ast.stmt | ast.Lambda))


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
