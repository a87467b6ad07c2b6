"""Plain values cross the pipe unchanged, everything else stripped of its tricks."""

import array
import collections
import copy
import datetime
import decimal
import enum
import fractions
import json
import math
import re
import sys
import zoneinfo
from typing import NamedTuple

import hypothesis
import pytest
from hypothesis import strategies as st

from codex_jax.evaluate.sandbox.guest import value_codec

hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**60), 10**60)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.fractions()
    | st.decimals(allow_nan=False),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
plain = st.recursive(
    hashable | st.builds(bytearray, st.binary()) | st.builds(range, st.integers(0, 10**20)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.sets(hashable, max_size=4)
    ),
    max_leaves=12,
)


def across(value, **options):
    return value_codec.decode(json.loads(json.dumps(value_codec.encode(value, **options))))


def alike(a, b) -> bool:
    """Equal, and of the same type all the way down: True isn't 1, -0.0 isn't 0.0."""
    return a == b and type(a) is type(b) and repr(a) == repr(b)


@hypothesis.given(plain)
def test_plain_values_arrive_as_they_left(value):
    arrived = across(value, strict=True)
    assert arrived == value
    if not isinstance(value, set | frozenset | dict):
        assert type(arrived) is type(value)


@pytest.mark.parametrize("value", [True, 1, 1.0, -0.0, "1", (1,), [1], {1: [True]}, b"1", 1j])
def test_types_are_kept_apart(value):
    assert alike(across(value), value)


def test_floats_outside_the_numbers_arrive():
    assert math.isnan(across(math.nan))
    assert across([math.inf, -math.inf]) == [math.inf, -math.inf]


class Liar(int):
    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


class Pair(NamedTuple):
    x: int
    y: int


class Point(Pair):
    def __iter__(self):
        return iter([7, 7])


class Table(collections.OrderedDict):
    def items(self):
        return [("b", 2)]


class Color(enum.IntEnum):
    RED = 3


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (Liar(4), 4),
        (Point(1, 2), (1, 2)),
        (Color.RED, 3),
        (Table(a=1), {"a": 1}),
        ([Liar(4)], [4]),
        (decimal.Decimal("1.10"), decimal.Decimal("1.10")),
        (fractions.Fraction(1, 3), fractions.Fraction(1, 3)),
    ],
)
def test_subclasses_arrive_as_what_they_extend(value, arrives):
    assert alike(across(value), arrives)


@pytest.mark.parametrize(
    "value",
    [
        collections.Counter("aab"),
        collections.OrderedDict(b=1, a=2),
        collections.deque([1, [2]], maxlen=4),
        collections.defaultdict(list, {1: [2]}),
        collections.defaultdict(None, {1: 2}),
        array.array("d", [1.5, 2]),
        array.array("u", "é"),
        datetime.date(2024, 2, 29),
        datetime.datetime(2024, 2, 29, 23, 59, 1, 5, fold=1),
        datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
        datetime.time(1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=-3), "BRT")),
        datetime.timedelta(-1, 5, 7),
        slice(1, None, [2]),
        [int, type(None), ..., bool],
        {1: {"a": {(1, 2): frozenset([3])}}},
    ],
    ids=repr,
)
@pytest.mark.filterwarnings("ignore:The 'u' type code")
def test_exact_types_arrive_strictly(value):
    arrived = across(value, strict=True)
    assert alike(arrived, value)
    for attribute in ("maxlen", "default_factory", "typecode", "fold", "tzinfo"):
        assert getattr(arrived, attribute, 0) == getattr(value, attribute, 0)


def test_views_arrive_as_views():
    numbers = {"a": 1, "b": 2}
    keys, values, items = across([numbers.keys(), numbers.values(), numbers.items()], strict=True)
    assert keys == numbers.keys()
    assert list(values) == [1, 2]
    assert items == numbers.items()


def test_namedtuples_arrive_with_their_fields_and_their_methods_do_not():
    plain = across(Pair(1, [2]))
    assert (plain.x, plain.y, plain, repr(plain)) == (1, [2], (1, [2]), "Pair(x=1, y=[2])")
    assert type(across(Pair(3, 4))) is type(plain)

    class Span(NamedTuple):
        low: int

        def __bool__(self):
            return False

    decoder = value_codec.Decoder()
    assert decoder.decode(value_codec.encode(Span(3))).low == 3
    assert decoder.inexact == "Span"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Liar(4), "Liar"),
        ([{"a": (Color.RED,)}], "Color"),
        (pytest, "builtins.module"),
        (collections.defaultdict(lambda: 7), "defaultdict"),
        (datetime.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC")), "datetime.datetime"),
        ([1, "a", {2: (3,)}, collections.deque([4])], ""),
    ],
    ids=lambda value: re.sub(" at 0x[0-9a-f]+", "", repr(value)),
)
def test_what_is_inexact_is_noted(value, name):
    decoder = value_codec.Decoder()
    decoder.decode(json.loads(json.dumps(value_codec.encode(value))))
    assert decoder.inexact == name


@hypothesis.given(
    st.recursive(st.builds(list), lambda inner: st.lists(inner, max_size=4)), st.data()
)
def test_what_is_one_object_stays_one(tree, data):
    """Nodes of a tree are put into one another at random, cycles included."""
    nodes = []

    def collect(node):
        nodes.append(node)
        for child in node:
            collect(child)

    collect(tree)
    for _ in range(data.draw(st.integers(0, 4))):
        node, child = (data.draw(st.sampled_from(nodes)) for _ in range(2))
        node.append(child)
    arrived = across(tree)

    def shape(node, seen):
        if id(node) in seen:
            return seen[id(node)]
        seen[id(node)] = len(seen)
        return [shape(child, seen) for child in node]

    assert shape(arrived, {}) == shape(tree, {})


def test_cycles_through_other_containers():
    value = {"list": [], "queue": collections.deque()}
    value["list"] += [value, value["queue"], (value["list"],)]
    value["queue"].append(value)
    arrived = across(value)
    assert arrived["list"][0] is arrived
    assert arrived["list"][1] is arrived["queue"]
    assert arrived["list"][2][0] is arrived["list"]
    assert arrived["queue"][0] is arrived


def changed(arguments, change) -> tuple:
    """The arguments after a program's change of its copies, and the value, as the host sees it."""
    sent = value_codec.Encoder(strict=True)
    there = value_codec.Decoder()
    copies = there.decode(json.loads(json.dumps(sent.encode(arguments))))
    value = change(copies)
    encoder = value_codec.Encoder(there.objects)
    forms = [[encoder.content(container) for container in there.objects], encoder.encode(value)]
    contents, form = json.loads(json.dumps(forms))
    decoder = value_codec.Decoder(sent.objects)
    for container, content in zip(sent.objects, contents, strict=True):
        decoder.refill(container, content)
    return arguments, decoder.decode(form)


@pytest.mark.parametrize(
    ("container", "change"),
    [
        ([3, 1, 2], list.sort),
        ({"a": 1}, lambda d: d.update(b=d.pop("a"))),
        ({1, 2}, lambda s: s.remove(1)),
        (bytearray(b"ab"), bytearray.reverse),
        (collections.deque([1, 2], maxlen=2), lambda q: q.append(3)),
        (collections.Counter("aab"), lambda c: c.update("bb")),
        (collections.OrderedDict(a=1, b=2), lambda d: d.move_to_end("a")),
        (collections.defaultdict(list), lambda d: d[3].append(4)),
        (array.array("i", [1, 2]), lambda a: a.append(7)),
    ],
    ids=lambda value: "" if callable(value) else type(value).__name__,
)
def test_changes_of_containers_are_changes_in_place(container, change):
    expected = copy.deepcopy(container)
    change(expected)
    arguments, value = changed([[container], container], lambda copies: change(copies[1]))
    assert arguments[0][0] is arguments[1] is container
    assert alike(container, expected)
    assert value is None


def test_new_containers_and_those_of_the_call_keep_their_identities():
    def change(copies):
        new = [7]
        copies[0].append(new)
        copies[1]["new"] = new
        return [copies[0], new, copies[2]]

    arguments, value = changed([[], {}, ((), [])], change)
    assert arguments[0][0] is arguments[1]["new"] is value[1]
    assert value[0] is arguments[0]
    assert value[2] is arguments[2]


@pytest.mark.parametrize("form", [{"set": []}, {"tuple": []}, {"dict": []}, {"same": 0}, 3, []])
def test_a_container_stays_of_its_type(form):
    container = {"a": 1} if form in ([], {"set": []}) else [1]
    decoder = value_codec.Decoder([container])
    if form == {"tuple": []}:
        decoder.refill(container, form)  # whoever says that it is a tuple changes nothing
    else:
        with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
            decoder.refill(container, form)
    assert container in ({"a": 1}, [1])


@pytest.mark.parametrize("depth", [350, 1200])
def test_deep_values_arrive(depth):
    value = []
    for _ in range(depth):
        value = [value]
    limit = sys.getrecursionlimit()
    arrived = across_deeply(value)
    assert sys.getrecursionlimit() == limit
    while arrived:
        (arrived,), depth = arrived, depth - 1
    assert depth == 0


def across_deeply(value):
    text = value_codec.call_deeply(json.dumps, value_codec.encode(value))
    return value_codec.decode(value_codec.call_deeply(json.loads, text))


def test_iterators_are_drawn_there():
    drawn = []
    encoder = value_codec.Encoder(number_iterator=lambda it: drawn.append(it) or len(drawn) - 1)
    form = encoder.encode([iter([1, 2]), (x for x in "ab")])
    assert form == [{"iterator": 0}, {"iterator": 1}]
    decoder = value_codec.Decoder(find_iterator=drawn.__getitem__)
    assert list(decoder.decode(form)[1]) == ["a", "b"]


def test_objects_arrive_as_nothing_but_their_names():
    arrived = across(pytest)
    assert repr(arrived) == "<builtins.module object>"
    assert arrived != across(pytest)


def test_strictly_only_what_can_be_restored():
    values = (iter([]), object(), Liar(1), [Table()], {"a": len}, Pair(1, 2), Liar, Pair)
    for value in (*values, collections.defaultdict(lambda: 1)):
        with pytest.raises(TypeError, match="isn't plain data"):
            value_codec.encode(value, strict=True)


@pytest.mark.parametrize(
    "form",
    [
        {"tuple": 3},
        {"no such tag": []},
        {},
        {"int": 1, "tuple": []},
        {"dict": [[[], 1]]},
        {"set": [{"dict": []}]},
        {"complex": ["x", 0]},
        {"fraction": ["0x1", "0x0"]},
        {"decimal": "9" * 20_000},
        {"bytes": "zz"},
        {"range": ["0x0", "0x1", "0x0"]},
        {"same": 0},
        {"same": -1},
        {"same": "0"},
        [{"same": 7}],
        {"tuple": [{"same": 0}]},
        {"builtin": "eval"},
        {"builtin": "type"},
        {"namedtuple": ["os; x", ["a"], [1], True]},
        {"namedtuple": ["P", ["class"], [1], True]},
        {"namedtuple": ["P", ["a"], [], True]},
        {"deque": ["a", []]},
        {"defaultdict": ["type", []]},
        {"array": ["x", [1]]},
        {"array": ["b", [1000]]},
        {"date": "2024-02-30"},
        {"datetime": ["2024-01-01T00:00:00", 0, [1]]},
        {"iterator": 0},
    ],
)
def test_forged_forms_are_refused(form):
    with pytest.raises((ValueError, TypeError, ArithmeticError, KeyError)):
        value_codec.decode(form)


def test_containers_that_occur_too_often_are_refused():
    """Each of sixty lists holds the one before twice: 2⁶⁰ items to whoever looks at all."""
    value: list = []
    for _ in range(60):
        value = [value, value]
    form = value_codec.Encoder().encode(value)
    with pytest.raises(ValueError, match="occur too often"):
        value_codec.Decoder(most_items=1 << 20).decode(form)
    rows = value_codec.Encoder().encode([[0] * 100] * 100)
    assert value_codec.Decoder(most_items=1 << 20).decode(rows) == [[0] * 100] * 100
