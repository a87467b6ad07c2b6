"""Functions cut out of a package with all that they need: imports, constants, helpers, classes.

Names are followed across the package's modules, and renamed where two of them meet. What needs a
package of somebody else's, a file, a clock or chance is refused, with the reason.
"""

import ast
import builtins
import sys
from typing import NamedTuple

from codex_jax.curate.packages import changes, constants, definitions, purity
from codex_jax.curate.packages.modules import Binding, Module, Package

_MAX_DEFINITIONS = 16
_MAX_CHARACTERS = 6000
_MAX_CONSTANT = 3000
_MAX_CLASS_LINES = 60

_BUILTINS = frozenset(dir(builtins))
_NAMES_OF_TESTS = frozenset(["abs", "check", "float", "frozenset", "list", "set"])

Key = tuple[str, str]  # module, name; an import's module is ""
_BUILTIN: Key = ("", "")


class NotSelfContainedError(Exception):
    """The reason, in a few words that are the same for all functions it holds for."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


class Extracted(NamedTuple):
    """A function and what comes before it, each as source."""

    entry_point: str
    prelude: str
    definition: str

    @property
    def source(self) -> str:
        """The complete program."""
        return f"{self.prelude}\n\n{self.definition}" if self.prelude else self.definition


def extract(package: Package, module: Module, name: str) -> Extracted:
    """Returns a top-level function with all that it needs.

    Raises:
      NotSelfContainedError: it needs something that a problem can't have.
    """
    if len(module.bindings.get(name, [])) != 1:
        raise NotSelfContainedError("bound more than once", name)
    extraction = _Extraction(package)
    new_name = extraction.require(module, name)
    if hidden := extraction.names & _NAMES_OF_TESTS:
        raise NotSelfContainedError("a name that its test needs", min(hidden))
    *helpers, definition = extraction.definitions
    imports = sorted(extraction.imports, key=lambda line: (line.startswith("from"), line))
    if extraction.lazy_annotations:
        imports.insert(0, "from __future__ import annotations")
    blocks = ["\n".join(imports) + "\n"] if imports else []
    blocks += constants.join_lines(helpers)
    prelude = "\n\n".join(blocks)
    if len(prelude) > _MAX_CHARACTERS:
        raise NotSelfContainedError("needs too much", f"{len(prelude)} characters")
    return Extracted(new_name, prelude, definition)


class _Extraction:
    """The definitions collected so far, dependencies first."""

    def __init__(self, package: Package):
        self.package = package
        self._changes = changes.find_changes(package)
        self.imports: dict[str, None] = {}
        self.definitions: list[str] = []
        self.lazy_annotations = False
        self._new_names: dict[Key, str] = {}
        self._taken: dict[str, Key] = {}

    @property
    def names(self) -> set[str]:
        """Globals of the problem, builtins left out."""
        return {name for name, key in self._taken.items() if key != _BUILTIN}

    def require(self, module: Module, name: str) -> str:
        """Returns the name under which a global of the module is available."""
        bindings = module.bindings.get(name, [])
        self._check_unhidden(module, name, bindings)
        if not bindings:
            return self._require_builtin(module, name)
        binding = self._choose(bindings, name)
        if binding.source:
            return self._require_import(module, binding, name)
        key = (module.name, name)
        is_passed = key in self._changes.passed and constants.is_changeable(binding.node)
        if is_passed or key in self._changes.changed:
            raise NotSelfContainedError("a global that the import changes", name)
        if key in self._new_names:
            return self._new_names[key]
        if len(self._new_names) >= _MAX_DEFINITIONS:
            raise NotSelfContainedError("needs too much", f"{_MAX_DEFINITIONS} definitions")
        new_name = self._new_names[key] = self._reserve(key, name)
        self._define(module, binding.node, name, new_name)
        return new_name

    def _check_unhidden(self, module: Module, name: str, bindings: list[Binding]) -> None:
        """Refuses a name that may have another value than what its bindings say."""
        is_constant = name in _BUILTINS or any(
            isinstance(b.node, constants.ASSIGNMENT) for b in bindings
        )
        if is_constant and (module.name, changes.ANY) in self._changes.passed:
            raise NotSelfContainedError("a global that the import changes", name)
        if name in _BUILTINS and any(binding.outer for binding in bindings):
            raise NotSelfContainedError("a builtin under a condition", name)
        last = max((binding.node.lineno for binding in bindings), default=0)
        stars = [star for star in module.bindings.get("*", []) if star.node.lineno > last]
        for source in (star.source for star in stars):
            if self.package.exports(source, name) or (
                name in _BUILTINS and not self.package.find(source) and purity.exports(source, name)
            ):
                raise NotSelfContainedError("star import", source)

    def _require_builtin(self, module: Module, name: str) -> str:
        if name not in purity.BUILTINS and name not in purity.MODULE_NAMES:
            reason = "impure builtin" if name in _BUILTINS else "unresolved name"
            raise NotSelfContainedError(reason, f"{name} in {module.name}")
        if self._taken.setdefault(name, _BUILTIN) != _BUILTIN:
            raise NotSelfContainedError("a helper hides a builtin", name)
        return name

    def _choose(self, bindings: list[Binding], name: str) -> Binding:
        """Returns the only binding; of imports that stand in for one another, the library's."""
        if len({(b.source or id(b.node), b.name) for b in bindings}) == 1:
            return bindings[0]
        outer = bindings[0].outer
        if outer is not None and all(binding.outer is outer for binding in bindings):
            for binding in bindings:
                if binding.source and self._is_library(binding):
                    return binding
        raise NotSelfContainedError("bound more than once", name)

    @staticmethod
    def _is_library(binding: Binding) -> bool:
        if isinstance(binding.node, ast.ImportFrom):
            return purity.is_pure_import(binding.source, binding.name)
        return purity.is_pure_module(binding.source)

    def _require_import(self, module: Module, binding: Binding, name: str) -> str:
        if not self._is_library(binding) and (target := self._module_of(binding)):
            raise NotSelfContainedError("a module as a value", target.name)
        if self._is_library(binding):
            return self._import(binding, name)
        if binding.name and (target := self.package.find(binding.source)):
            if binding.name == "*" or target is module:
                raise NotSelfContainedError("star import", binding.source)
            return self.require(target, binding.name)
        if binding.source.partition(".")[0] in self.package.roots:
            raise NotSelfContainedError("missing module of the package", binding.source)
        if not _is_stdlib(binding.source):
            raise NotSelfContainedError("third-party import", binding.source.partition(".")[0])
        if binding.name and not purity.is_pure_import(binding.source, binding.name):
            raise NotSelfContainedError("impure import", f"{binding.source}.{binding.name}")
        return self._import(binding, name)

    def _import(self, binding: Binding, name: str) -> str:
        new_name = self._reserve(("", f"{binding.source}:{binding.name}"), name)
        self.imports[_import_line(binding, new_name)] = None
        return new_name

    def _module_of(self, binding: Binding) -> Module | None:
        """Returns the package's module that an import binds, if it does."""
        full = f"{binding.source}.{binding.name}" if binding.name else binding.source
        return self.package.find(full)

    def _reserve(self, key: Key, name: str) -> str:
        """Returns the name, with a number where another global has it."""
        new_name, number = name, 2
        while self._taken.get(new_name, key) != key or (new_name != name and new_name in _BUILTINS):
            new_name, number = f"{name}_{number}", number + 1
        self._taken[new_name] = key
        return new_name

    def _define(self, module: Module, node: ast.stmt, name: str, new_name: str) -> None:
        text = _text(module, node, name)
        try:
            needed, annotations, local = definitions.global_names(text)
        except ValueError as error:
            raise NotSelfContainedError("changes globals", str(error)) from None
        if method := purity.impure_method(tree := ast.parse(text)):
            raise NotSelfContainedError("impure method", method)
        if source := purity.impure_inner_import(tree):
            raise NotSelfContainedError("an import within a function", source)
        if attribute := purity.module_attribute(tree):
            raise NotSelfContainedError("an attribute of its module", attribute)
        names = {name: new_name}
        attributes: dict[str, str] = {}
        for other in needed:
            if other == name:
                continue
            if target := self._bound_module(module, other):
                attributes |= self._require_attributes(tree, other, target)
                continue
            self._check_use(module, tree, other)
            names[other] = self.require(module, other)
        self._require_annotations(module, annotations, names, isinstance(node, ast.ClassDef))
        self._check_renamed(tree, names, attributes, local)
        self.definitions.append(definitions.rename(text, names, attributes))

    @staticmethod
    def _check_renamed(
        tree: ast.Module, names: dict[str, str], attributes: dict[str, str], local: frozenset[str]
    ) -> None:
        """Refuses a definition that other names would make another one."""
        renamed = {name for pair in names.items() if len(set(pair)) > 1 for name in pair}
        renamed |= {name.partition(".")[0] for name in attributes} | set(attributes.values())
        is_named = any(getattr(part, "attr", "") == "__name__" for part in ast.walk(tree))
        is_renamed_class = any(
            isinstance(node, ast.ClassDef) and node.name in renamed for node in tree.body
        )
        if is_renamed_class or (renamed and is_named):
            raise NotSelfContainedError(
                "a renamed helper whose name counts", ", ".join(sorted(renamed))
            )
        if hidden := renamed & local:
            raise NotSelfContainedError("a local hides a helper", ", ".join(sorted(hidden)))

    def _require_annotations(
        self, module: Module, annotations: list[str], names: dict[str, str], is_class: bool
    ) -> None:
        """Makes the names of annotations available where that is easy, else leaves them as text.

        A class may read the annotations of its fields, and so gets the package's classes too.
        """
        for name in annotations:
            bindings = module.bindings.get(name, [])
            if not bindings and name in purity.BUILTINS:
                self._taken.setdefault(name, _BUILTIN)
                continue
            source = bindings[0].source if bindings else ""
            if is_class or (source and _is_stdlib(source)):
                try:
                    names[name] = self.require(module, name)
                    continue
                except NotSelfContainedError:
                    pass
            self.lazy_annotations = True

    def _bound_module(self, module: Module, name: str) -> Module | None:
        bindings = module.bindings.get(name, [])
        if not bindings or not bindings[0].source or self._is_library(bindings[0]):
            return None
        return self._module_of(bindings[0])

    def _check_use(self, module: Module, tree: ast.AST, name: str) -> None:
        for binding in module.bindings.get(name, [])[:1]:
            is_import = isinstance(binding.node, ast.Import) and _is_stdlib(binding.source)
            if is_import and (impure := purity.impure_use(tree, name, binding.source)):
                raise NotSelfContainedError("impure import", impure)

    def _require_attributes(self, tree: ast.AST, name: str, target: Module) -> dict[str, str]:
        """Returns dotted expression → new name, of all attributes of a module of the package."""
        attributes: dict[str, str] = {}
        inner: set[ast.AST] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node not in inner:
                parts = ast.unparse(node).split(".") if _is_dotted(node) else []
                if parts[:1] == [name]:
                    if not isinstance(node.ctx, ast.Load):
                        raise NotSelfContainedError("changes globals", ".".join(parts))
                    inner.update(ast.walk(node))
                    attributes |= self._require_dotted(parts, target)
        bare = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == name]
        if any(node not in inner for node in bare):
            raise NotSelfContainedError("a module as a value", name)
        return attributes

    def _require_dotted(self, parts: list[str], target: Module) -> dict[str, str]:
        for index, part in enumerate(parts[1:], 1):
            if deeper := self.package.find(f"{target.name}.{part}"):
                target = deeper
                continue
            bindings = target.bindings.get(part, [])
            if not bindings:
                raise NotSelfContainedError("unresolved name", f"{part} in {target.name}")
            return {".".join(parts[: index + 1]): self.require(target, part)}
        raise NotSelfContainedError("a module as a value", ".".join(parts))


def _text(module: Module, node: ast.stmt, name: str) -> str:
    """Returns the text of a definition that may be part of a problem."""
    if isinstance(node, ast.AsyncFunctionDef):
        raise NotSelfContainedError("async function", name)
    if isinstance(node, ast.ClassDef):
        assert node.end_lineno is not None
        if node.end_lineno - node.lineno > _MAX_CLASS_LINES:
            raise NotSelfContainedError("long class", name)
    elif not isinstance(node, ast.FunctionDef):
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if not isinstance(node, constants.ASSIGNMENT) or len(targets) > 1:
            raise NotSelfContainedError("bound more than once", name)
        if not isinstance(targets[0], ast.Name) or targets[0].id != name:
            raise NotSelfContainedError("bound with other names", name)
        if constants.is_used_up(getattr(node, "value", None)):
            raise NotSelfContainedError("a constant that is used up", name)
    text = definitions.source_text(module, node)
    if not isinstance(node, ast.FunctionDef | ast.ClassDef) and len(text) > _MAX_CONSTANT:
        raise NotSelfContainedError("long constant", name)
    return text


def _import_line(binding: Binding, new_name: str) -> str:
    if not binding.name:
        alias = "" if new_name == binding.source else f" as {new_name}"
        return f"import {binding.source}{alias}"
    alias = "" if new_name == binding.name else f" as {new_name}"
    return f"from {binding.source} import {binding.name}{alias}"


def _is_dotted(node: ast.AST) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def _is_stdlib(source: str) -> bool:
    return source.partition(".")[0] in sys.stdlib_module_names
