"""SPDX expressions of licenses: their form, and whether a list of licenses admits one."""

import re
from collections.abc import Iterable, Iterator

import license_expression

from codex_jax import InputError

_REFERENCE = re.compile(r"(DocumentRef-[\w.-]+:)?LicenseRef-[\w.-]+", re.IGNORECASE)
_LATER, _ONLY = "-or-later", "-only"


def _make_licensing() -> license_expression.Licensing:
    """Returns SPDX's list, without aliases such as LicenseRef-GPL, which are others' own names."""
    published = license_expression.get_spdx_licensing().known_symbols.values()
    return license_expression.Licensing(
        license_expression.LicenseSymbol(
            symbol.key,
            aliases=tuple(a for a in symbol.aliases if not a.startswith("LicenseRef-")),
            is_exception=symbol.is_exception,
        )
        for symbol in published
    )


_SPDX = _make_licensing()
SPELLINGS = {key.lower(): key for key in _SPDX.known_symbols}  # of identifiers in lower case


class AllowList:
    """Licenses that are allowed."""

    def __init__(self, names: Iterable[str]):
        """Takes SPDX identifiers, LicenseRef-… names, and licenses WITH an exception.

        Raises:
          InputError: a name is none of these.
        """
        self._names = set()
        for name in names:
            if not _is_name(symbol := _parse(name)):
                raise InputError(
                    f"licenses has {name!r}, which isn't an SPDX identifier; expected names such "
                    "as Apache-2.0 or LicenseRef-Mine; set licenses to such"
                )
            self._names.add(str(symbol).lower())

    def admits(self, expression: str) -> bool:
        """Returns whether the list meets an expression: one side of an OR, both of an AND.

        Names have no case. Of a license "or later" (or with "+") the stated version will do. A
        license WITH an exception is one of its own. What is malformed isn't admitted.
        """
        try:
            return self._meets(_parse(expression))
        except RecursionError:
            return False

    def _meets(self, node: license_expression.LicenseExpression | None) -> bool:
        if isinstance(node, license_expression.AND):
            return all(map(self._meets, node.args))
        if isinstance(node, license_expression.OR):
            return any(map(self._meets, node.args))
        return node is not None and not self._names.isdisjoint(_sufficient_names(node))


def is_expression(text: str) -> bool:
    """Returns whether a text is an SPDX expression of known identifiers and LicenseRef-… names."""
    return canonical(text) != ""


def canonical(text: str) -> str:
    """Returns an SPDX expression with its names and operators as SPDX writes them, else ""."""
    try:
        node = _parse(text)
        is_known = node is not None and all(map(_is_known, node.symbols))
        return str(node) if is_known else ""
    except RecursionError:
        return ""


def _parse(text: str) -> license_expression.LicenseExpression | None:
    """Returns the expression; None where it is malformed. Its names may be any."""
    try:
        node = _SPDX.parse(text)
    except (license_expression.ExpressionError, IndexError):  # such as "()"
        return None
    # The library takes words in a row for one name.
    return None if node is None or any(" " in name for name in _names(node)) else node


def _names(node: license_expression.LicenseExpression) -> Iterator[str]:
    for symbol in node.symbols:
        for part in symbol.decompose():
            yield part.key


def _is_name(node: license_expression.LicenseExpression | None) -> bool:
    """Returns whether an expression names one license, in one version."""
    is_known = isinstance(node, license_expression.BaseSymbol) and _is_known(node)
    return is_known and not any(name.endswith("+") for name in _names(node))


def _is_known(symbol: license_expression.BaseSymbol) -> bool:
    """Returns whether SPDX lists a license, and its exception if it has one."""
    if isinstance(symbol, license_expression.LicenseWithExceptionSymbol):
        exception = _SPDX.known_symbols.get(symbol.exception_symbol.key)
        return _is_known(symbol.license_symbol) and exception is not None and exception.is_exception
    if _REFERENCE.fullmatch(symbol.key):
        return True
    listed = _SPDX.known_symbols.get(SPELLINGS.get(symbol.key.removesuffix("+").lower(), ""))
    return listed is not None and not listed.is_exception


def _sufficient_names(symbol: license_expression.BaseSymbol) -> set[str]:
    """Returns the names, in lower case, of which each alone meets a symbol."""
    if isinstance(symbol, license_expression.LicenseWithExceptionSymbol):
        exception = symbol.exception_symbol.key.lower()
        return {f"{name} with {exception}" for name in _sufficient_names(symbol.license_symbol)}
    name = symbol.key.lower()
    stated = name.removesuffix(_LATER) + _ONLY if name.endswith(_LATER) else name.removesuffix("+")
    return {name, stated}
