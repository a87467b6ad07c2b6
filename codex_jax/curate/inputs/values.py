"""Values to try for a parameter, by its annotation, its default, and its name."""

import ast
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

_WORDS = (
    "hello world",
    "The quick brown fox",
    "a",
    "",
    "snake_case_name",
    "CamelCaseName",
    "foo-bar.baz",
    "  padded  ",
    "123",
    "-4.5e2",
    "a,b,,c",
    "key=value",
    "line one\nline two\n",
    "ÄÖü ß",
    "https://user@example.com:8080/path/page.html?q=1&r=2#top",
    "/usr/local/lib/file.tar.gz",
    "2021-03-04",
    "12:34:56",
    "3.10.2",
    "<b>bold</b> &amp; text",
    "#ff8800",
    "aAbBcC",
    "true",
    "x == 1 and y",
    "10.0.0.1",
    "abcabcabc",
    "(1 + 2) * 3",
    "Hello, World! How are you?",
)
_NUMBERS = (
    0,
    1,
    2,
    3,
    5,
    7,
    10,
    12,
    16,
    25,
    37,
    64,
    99,
    100,
    127,
    255,
    1000,
    1023,
    65536,
    -1,
    -3,
    -17,
)
_FLOATS = (0.0, 1.0, 0.5, -1.5, 2.25, 3.14159, 10.0, 99.9, 1e-3, 1e6, -273.15, 0.1)
_DEPTH = 2

Make = Callable[[random.Random, int], Any]


def _text(rng: random.Random, _: int) -> Any:
    return rng.choice(_WORDS)


def _word(rng: random.Random, _: int) -> Any:
    return rng.choice(("a", "b", "foo", "bar", "x", "name", "id", "value", "alpha", "Beta", "k1"))


def _number(rng: random.Random, _: int) -> Any:
    return rng.choice(_NUMBERS)


def _count(rng: random.Random, _: int) -> Any:
    return rng.choice((0, 1, 2, 3, 4, 5, 8, 10, 20))


def _float(rng: random.Random, _: int) -> Any:
    return rng.choice(_FLOATS)


def _flag(rng: random.Random, _: int) -> Any:
    return rng.random() < 0.5


def _bytes(rng: random.Random, depth: int) -> Any:
    return _text(rng, depth).encode()


def _none(_: random.Random, __: int) -> Any:
    return None


def _as_key(value: Any) -> Any:
    """Returns the value if a set can hold it, else its text."""
    try:
        hash(value)
    except TypeError:
        return str(value)
    return value


def _list_of(item: Make, make: Callable[[Any], Any] = list) -> Make:
    def values(rng: random.Random, depth: int) -> Any:
        size = rng.choice((0, 1, 2, 3, 3, 4, 6))
        items = [item(rng, depth + 1) for _ in range(size)]
        return make(map(_as_key, items)) if make in (set, frozenset) else make(items)

    return values


def _pairs(key: Make, value: Make) -> Make:
    def values(rng: random.Random, depth: int) -> Any:
        size = rng.choice((0, 1, 2, 3, 4))
        return {_as_key(key(rng, depth + 1)): value(rng, depth + 1) for _ in range(size)}

    return values


def _tuple_of(items: Sequence[Make]) -> Make:
    def values(rng: random.Random, depth: int) -> Any:
        return tuple(item(rng, depth + 1) for item in items)

    return values


def _any_of(*choices: Make) -> Make:
    def values(rng: random.Random, depth: int) -> Any:
        return rng.choice(choices)(rng, depth)

    return values


def _scalar(rng: random.Random, depth: int) -> Any:
    return rng.choice((_number, _word, _text, _float))(rng, depth)


def _anything(rng: random.Random, depth: int) -> Any:
    if depth >= _DEPTH:
        return _scalar(rng, depth)
    return rng.choice((_scalar, _list_of(_number), _list_of(_word), _pairs(_word, _scalar)))(
        rng, depth
    )


_NUMBER_LIST, _TEXT_LIST = _list_of(_number), _list_of(_word)
_NESTED = _list_of(_list_of(_number))
_MATRIX = _any_of(_NESTED, _list_of(_tuple_of([_word, _number])))
_BY_TYPE: dict[str, Make] = {
    "str": _text, "AnyStr": _text, "Text": _text, "int": _number, "float": _float,
    "complex": _float,
    "bool": _flag, "bytes": _bytes, "None": _none, "Any": _anything, "object": _anything,
    "Number": _any_of(_number, _float), "list": _any_of(_NUMBER_LIST, _TEXT_LIST),
    "dict": _pairs(_word, _scalar), "tuple": _list_of(_scalar, tuple),
    "set": _list_of(_number, set), "Hashable": _scalar,
}  # fmt: skip
_LIST_NAMES = "list List Sequence Iterable Iterator Collection MutableSequence Reversible"
_DICT_NAMES = "dict Dict Mapping MutableMapping DefaultDict OrderedDict"
_SET_NAMES = "set Set FrozenSet frozenset AbstractSet MutableSet"
_LISTS, _DICTS, _SETS = (
    frozenset(names.split()) for names in (_LIST_NAMES, _DICT_NAMES, _SET_NAMES)
)
_MAPPING = _pairs(_word, _scalar)


def _separator(rng: random.Random, _: int) -> Any:
    return rng.choice(",-_ :;/.")


# Words in a parameter's name → values that such parameters usually hold; the first row counts.
# A word with a caret begins the name, one with a dollar sign ends it.
_NAMES: tuple[tuple[str, Make], ...] = (
    (
        "^is_ ^has_ ^should ^with_ ^allow ^include ^ignore ^strict ^reverse ^lower ^upper ^strip",
        _flag,
    ),
    ("inclusive flag", _flag),
    ("bytes ^data$ ^raw buf", _bytes),
    ("matrix grid rows table pairs points edges intervals", _MATRIX),
    ("dict mapping params kwargs config options attrs headers env context ^d$ ^d1$ ^d2$", _MAPPING),
    ("lists sequences iterables", _NESTED),
    (
        "strings words names lines tokens keys paths parts columns tags labels args fields",
        _TEXT_LIST,
    ),
    ("numbers nums values weights scores vec shape", _NUMBER_LIST),
    ("list seq iter arr items elements ^l$ ^lst$ ^xs ^it$", _any_of(_NUMBER_LIST, _TEXT_LIST)),
    ("ratio rate frac prob alpha beta scale lat lon angle temp radius price amount", _float),
    ("count num size len width height depth level limit max min start stop end step index", _count),
    ("idx pos offset ^n$ ^k$ ^i$ ^j$ ^m$ digits precision base year month day hour", _count),
    ("minute second port bits", _count),
    ("^x$ ^y$ ^z$ ^a$ ^b$ ^c$ ^number$ ^val$ ^value$", _any_of(_number, _float, _text)),
    ("prefix suffix char quote fill", _word),
    ("sep delim", _separator),
    ("str text ^s$ name word line path url uri key title msg message content query file", _text),
    ("html code source pattern label tag type format id$ email domain host version date", _text),
    ("time color hex expr token value desc", _text),
)


def _name_pattern(words: str) -> re.Pattern[str]:
    return re.compile("|".join(words.split()))


_BY_NAME = [(_name_pattern(words), make) for words, make in _NAMES]


def maker(parameter: ast.arg, default: ast.expr | None) -> list[Make]:
    """Returns generators to try for a parameter, each of one sort of values."""
    if parameter.annotation is not None and (make := _by_annotation(parameter.annotation)):
        return [make]
    value = default.value if isinstance(default, ast.Constant) else None
    if value is not None and (make := _BY_TYPE.get(type(value).__name__)):
        return [make]
    name = parameter.arg.lower()
    named = [make for pattern, make in _BY_NAME if pattern.search(name)][:1]
    rest = [_text, _number, _NUMBER_LIST, _TEXT_LIST, _MAPPING, _MATRIX]
    return [*named, *rest]


def _by_annotation(node: ast.expr) -> Make | None:
    """Returns the generator of an annotated type; None if there is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            return _by_annotation(ast.parse(node.value, mode="eval").body)
        except SyntaxError:
            return None
    if isinstance(node, ast.Constant) and node.value is None:
        return _none
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([node.left, node.right])
    if isinstance(node, ast.Subscript):
        return _by_subscript(node)
    name = getattr(node, "attr", "") or getattr(node, "id", "")
    if name in _LISTS:
        return _BY_TYPE["list"]
    if name in _DICTS:
        return _BY_TYPE["dict"]
    return _BY_TYPE["set"] if name in _SETS else _BY_TYPE.get(name)


def _by_subscript(node: ast.Subscript) -> Make | None:
    name = getattr(node.value, "attr", "") or getattr(node.value, "id", "")
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Literal":
        values = [item.value for item in inner if isinstance(item, ast.Constant)]
        return (lambda rng, _: rng.choice(values)) if values else None
    if name in ("Optional", "Union"):
        return _union(inner)
    if not inner:  # tuple[()]
        return None
    makes = [_by_annotation(item) or _scalar for item in inner]
    if name in _LISTS:
        return _list_of(makes[0])
    if name in _DICTS and len(makes) == 2:
        return _pairs(_by_annotation(inner[0]) or _word, makes[1])
    if name in _SETS:
        return _list_of(makes[0], frozenset if "rozen" in name else set)
    if name in ("tuple", "Tuple"):
        is_any_length = isinstance(inner[-1], ast.Constant) and inner[-1].value is ...
        return _list_of(makes[0], tuple) if is_any_length else _tuple_of(makes)
    return None


def _union(nodes: Sequence[ast.expr]) -> Make | None:
    makes = [make for node in nodes if (make := _by_annotation(node)) and make is not _none]
    return _any_of(*makes) if makes else None
