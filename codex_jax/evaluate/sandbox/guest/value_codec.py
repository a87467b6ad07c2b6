"""Codec between values and JSON: nothing that a program returns can act on the host.

None, booleans, strings, floats, small integers and lists are themselves; everything else is an
object with one key, its tag. Containers are numbered in the order in which they begin, and one that
occurs again is its number: what is one object here is one object there. Instances of other classes
travel as the builtin they extend, read through the builtin's own methods: whatever the program
overrides stays behind, and the decoder notes that they are inexact.
"""

import builtins
import collections
import collections.abc
import functools
import sys

from codex_jax.evaluate.sandbox.guest import module_types

_SMALL = 10**15
_THEMSELVES = frozenset({str, float, bool, type(None)})
_DEPTH = 8000  # calls, of four for each level of a value
_TYPES = "int float str bool list tuple dict set frozenset bytes bytearray complex range"
_BUILTINS = {name: getattr(builtins, name) for name in _TYPES.split()}
_BUILTINS.update(NoneType=type(None), Ellipsis=...)
_MAX_FIELDS = 256  # of a namedtuple
# What is in the dict of a class that collections.namedtuple or typing.NamedTuple makes.
_NAMEDTUPLE_NAMES = (
    "__doc__ __slots__ __new__ __repr__ __getnewargs__ __match_args__ __module__ __annotations__ "
    "__orig_bases__ __static_attributes__ __firstlineno__ __annotate__ __annotate_func__ _fields "
    "_field_defaults _make _replace __replace__ _asdict"
)
_NAMEDTUPLE = frozenset(_NAMEDTUPLE_NAMES.split())


class Opaque:
    """Stands for something that isn't plain data: equal to nothing but itself."""

    def __init__(self, type_name):
        self.type_name = type_name

    def __repr__(self):
        return f"<{self.type_name} object>"


def call_deeply(function, *arguments):
    """Calls a function with enough of the stack for values that are nested deep."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _DEPTH))
    try:
        return function(*arguments)
    finally:
        sys.setrecursionlimit(limit)


class Encoder:
    """Encodes values one after the other, with one numbering of their containers.

    Args:
      objects: containers that have the first numbers: those of a call.
      strict: whether to refuse what `Decoder` wouldn't restore.
      shared: whether containers that occur again are numbers; drivers of other languages don't
        know of any.
      number_iterator: returns an iterator's number, by which it can be drawn from.
    """

    def __init__(self, objects=(), *, strict=False, shared=True, number_iterator=None):
        self.objects, self.strict, self.shared = list(objects), strict, shared
        self.numbers = {id(value): number for number, value in enumerate(objects)}
        self.number_iterator = number_iterator

    def encode(self, value):
        """Returns the JSON form of `value`.

        Raises:
          TypeError: it is strict, and `Decoder` wouldn't restore the value.
        """
        exact = type(value)
        if exact in _THEMSELVES:
            return value
        if exact is int:
            return value if -_SMALL < value < _SMALL else {"int": hex(value)}
        if exact not in _CONTAINERS and exact.__module__ in _MODULES:
            _add_types(exact.__module__)
        if form := _CONTAINERS.get(exact):
            number = self.numbers.get(id(value)) if self.shared else None
            if number is not None:
                return {"same": number}
            self.numbers[id(value)] = len(self.objects)
            self.objects.append(value)
            return form(self, value)
        if (form := _ATOMS.get(exact)) and (atom := form(self, value)) is not None:
            return atom
        if self.strict:
            raise TypeError(f"{exact.__name__} isn't plain data")
        return self._approximate(value, exact)

    def content(self, container):
        """Returns the form of a container that has a number."""
        return _CONTAINERS[type(container)](self, container)

    def items(self, values):
        """Returns the forms of values."""
        return [
            v
            if (exact := type(v)) in _THEMSELVES or (exact is int and -_SMALL < v < _SMALL)
            else self.encode(v)
            for v in values
        ]

    def pairs(self, items):
        """Returns the forms of a mapping's items."""
        return [self.items(item) for item in items]

    def _approximate(self, value, exact):
        if fields := _namedtuple_fields(exact):
            is_plain = vars(exact).keys() <= _NAMEDTUPLE | set(fields)
            body = [exact.__name__, list(fields), self.items(tuple.__iter__(value)), is_plain]
            return {"namedtuple": body}
        if self.number_iterator and issubclass(exact, collections.abc.Iterator):
            return {"iterator": self.number_iterator(value)}
        for base, plain in _BASES:
            if issubclass(exact, base):
                return {"inexact": [exact.__name__[:100], self.encode(plain(value))]}
        return {"opaque": f"{exact.__module__}.{exact.__qualname__}"}


def _namedtuple_fields(exact):
    """Returns the fields of a namedtuple's class; None for other classes."""
    fields = vars(exact).get("_fields") if exact.__mro__[1:2] == (tuple,) else None
    return fields if type(fields) is tuple and len(fields) <= _MAX_FIELDS else None


def _type_form(_, value):
    name = value.__name__
    return {"builtin": name} if _BUILTINS.get(name) is value else None


def _defaultdict_form(encoder, value):
    factory = value.default_factory
    name = "" if factory is None else "?"
    if type(factory) is type and _BUILTINS.get(factory.__name__) is factory:
        name = factory.__name__
    if name == "?" and encoder.strict:
        raise TypeError("a defaultdict of another function isn't plain data")
    return {"defaultdict": [name, encoder.pairs(dict.items(value))]}


def _views():
    view = {}
    return type(view.keys()), type(view.values()), type(view.items())


_KEYS, _VALUES, _ITEMS = _views()
_CONTAINERS = {
    list: lambda encoder, v: encoder.items(v),
    tuple: lambda encoder, v: {"tuple": encoder.items(v)},
    dict: lambda encoder, v: {"dict": encoder.pairs(v.items())},
    set: lambda encoder, v: {"set": encoder.items(v)},
    frozenset: lambda encoder, v: {"frozenset": encoder.items(v)},
    bytearray: lambda _, v: {"bytearray": v.hex()},
    collections.deque: lambda encoder, v: {"deque": [v.maxlen, encoder.items(v)]},
    collections.Counter: lambda encoder, v: {"counter": encoder.pairs(dict.items(v))},
    collections.OrderedDict: lambda encoder, v: {"ordered": encoder.pairs(v.items())},
    collections.defaultdict: _defaultdict_form,
}
_ATOMS = {
    bytes: lambda _, v: {"bytes": v.hex()},
    complex: lambda _, v: {"complex": [v.real, v.imag]},
    range: lambda _, v: {"range": [hex(n) for n in (v.start, v.stop, v.step)]},
    slice: lambda encoder, v: {"slice": encoder.items([v.start, v.stop, v.step])},
    type: _type_form,
    type(...): lambda *_: {"builtin": "Ellipsis"},
    _KEYS: lambda encoder, v: {"keys": encoder.items(v)},
    _VALUES: lambda encoder, v: {"values": encoder.items(v)},
    _ITEMS: lambda encoder, v: {"items": encoder.pairs(v)},
}
_BASES = (
    (int, int.__index__),
    (float, float.__float__),
    (str, str.__str__),
    (list, lambda v: list(list.__iter__(v))),
    (tuple, lambda v: tuple(tuple.__iter__(v))),
    (dict, lambda v: dict(dict.items(v))),
    (set, lambda v: set(set.__iter__(v))),
    (frozenset, lambda v: frozenset(frozenset.__iter__(v))),
    (bytes, lambda v: bytes.fromhex(bytes.hex(v))),
    (bytearray, lambda v: bytearray.fromhex(bytearray.hex(v))),
    (complex, lambda v: complex(v.real, v.imag)),
)


class Decoder:
    """Decodes values one after the other, with one numbering of their containers.

    Args:
      objects: containers that have the first numbers: those of a call.
      find_iterator: returns the iterator of a number.
      most_items: of all values, those of a container as often as it occurs; None is no limit. Who
        looks at every item of a value without limits of his own needs one.
    """

    def __init__(self, objects=(), *, find_iterator=None, most_items=None):
        self.most_items = most_items
        self.objects, self.find_iterator = list(objects), find_iterator
        self.weights, self.weight = [1] * len(self.objects), 0  # items: by number, and so far
        self.inexact = ""  # the class of a value that was decoded approximately

    def decode(self, form):
        """Returns the value that `encode` got.

        Raises:
          Exception: not something that `encode` makes.
        """
        if type(form) is list:
            number, before = self._begin(values := [])
            values += self.items(form)
            self.weights[number] = max(1, self.weight - before)
            return values
        if type(form) is not dict:
            return form
        if len(form) != 1:
            raise ValueError("a value must have one tag")
        ((tag, body),) = form.items()
        if (module := module_types.MODULE_OF.get(tag)) in _MODULES:
            _add_types(module)
        if tag in _MUTABLE:
            create, fill = _MUTABLE[tag]
            number, before = self._begin(container := create(body))
            fill(self, container, body)
            self.weights[number] = max(1, self.weight - before)
            return container
        if tag in _IMMUTABLE:
            number, before = self._begin(self)  # until it is there
            items = self.items(body)
            self.weights[number] = max(1, self.weight - before)
            self.objects[number] = value = _IMMUTABLE[tag](items)
            return value
        if tag not in _READERS:
            raise ValueError(f"unknown tag {tag[:40]!r}")
        return _READERS[tag](self, body)

    def _begin(self, container):
        """Numbers a container; returns its number and the items before it."""
        self.objects.append(container)
        self.weights.append(1)
        return len(self.objects) - 1, self.weight

    def _count(self, items):
        """Counts items, those of a container as often as it occurs: to look at all takes so long.

        Raises:
          ValueError: they are more than a value may have.
        """
        self.weight += items
        if self.most_items is not None and self.weight > self.most_items:
            raise ValueError("its containers occur too often")

    def items(self, forms):
        """Returns the values of forms."""
        self._count(len(forms))
        return [self.decode(form) if type(form) in (list, dict) else form for form in forms]

    def pairs(self, forms):
        """Returns the items of a mapping."""
        self._count(2 * len(forms))
        return [(self.decode(key), self.decode(value)) for key, value in forms]

    def refill(self, container, form):
        """Changes a container into what `content` got; tuples and frozensets stay.

        Raises:
          Exception: it was another container.
        """
        if type(form) is list:
            new = self.items(form)
        else:
            ((tag, body),) = form.items()
            if tag in _IMMUTABLE:
                self.items(body)  # they have numbers
                return
            create, fill = _MUTABLE[tag]
            fill(self, new := create(body), body)
        if type(new) is not type(container):
            raise ValueError("a container has become another one")
        if isinstance(new, dict):
            container.clear()
            for key, value in new.items():
                container[key] = value
        elif isinstance(new, set):
            container.clear()
            container.update(new)
        elif isinstance(new, collections.deque):
            container.clear()
            container.extend(new)
        else:
            container[:] = new

    def same(self, number):
        """Returns the container of a number."""
        if type(number) is not int or not 0 <= number < len(self.objects):
            raise ValueError("no such container")
        if (value := self.objects[number]) is self:
            raise ValueError("a tuple in itself")
        self._count(self.weights[number])
        return value

    def approximate(self, name, value):
        """Notes that a value stands for an instance of another class."""
        self.inexact = self.inexact or str(name)[:100]
        return value


def _decode_pairs(decoder, container, body):
    for key, value in decoder.pairs(body):
        container[key] = value


def _namedtuple(decoder, body):
    name, fields, items, is_plain = body
    value = _namedtuple_class(name, tuple(fields))(*decoder.items(items))
    return value if is_plain else decoder.approximate(name, value)


@functools.lru_cache(maxsize=256)
def _namedtuple_class(name, fields):
    if not all(type(text) is str and len(text) < 200 for text in (name, *fields)):
        raise ValueError("no names of a namedtuple")
    return collections.namedtuple(name, fields)  # noqa: PYI024 - it checks that they are names


def _create_defaultdict(body):
    name = body[0]
    factory = None if name in ("", "?") else _BUILTINS[name]
    return collections.defaultdict(factory)


def _fill_defaultdict(decoder, container, body):
    if body[0] == "?":
        decoder.approximate("defaultdict", None)
    _decode_pairs(decoder, container, body[1])


_MUTABLE = {
    "dict": (lambda _: {}, _decode_pairs),
    "set": (lambda _: set(), lambda decoder, c, body: c.update(decoder.items(body))),
    "bytearray": (lambda _: bytearray(), lambda _, c, body: c.extend(bytes.fromhex(body))),
    "deque": (
        lambda body: collections.deque(maxlen=body[0]),
        lambda decoder, c, body: c.extend(decoder.items(body[1])),
    ),
    "counter": (lambda _: collections.Counter(), _decode_pairs),
    "ordered": (lambda _: collections.OrderedDict(), _decode_pairs),
    "defaultdict": (_create_defaultdict, _fill_defaultdict),
}
_IMMUTABLE = {"tuple": tuple, "frozenset": frozenset}
_READERS = {
    "same": Decoder.same,
    "int": lambda _, body: int(body, 16),
    "bytes": lambda _, body: bytes.fromhex(body),
    "complex": lambda _, body: complex(*map(float, body)),
    "range": lambda _, body: range(*(int(n, 16) for n in body)),
    "slice": lambda decoder, body: slice(*decoder.items(body)),
    "builtin": lambda _, body: _BUILTINS[body],
    "keys": lambda decoder, body: dict.fromkeys(decoder.items(body)).keys(),
    "values": lambda decoder, body: dict(enumerate(decoder.items(body))).values(),
    "items": lambda decoder, body: dict(decoder.pairs(body)).items(),
    "namedtuple": _namedtuple,
    "iterator": lambda decoder, body: decoder.find_iterator(int(body)),
    "inexact": lambda decoder, body: decoder.approximate(body[0], decoder.decode(body[1])),
    "opaque": lambda decoder, body: decoder.approximate(body, Opaque(str(body)[:100])),
}


def _add_types(name):
    """Adds the types of a module, which programs that don't need it don't load."""
    add = _MODULES.pop(name)
    add(__import__(name), _CONTAINERS, _ATOMS, _MUTABLE, _READERS)


_MODULES = dict(module_types.ADD)


def encode(value, *, strict=False):
    """Returns the JSON form of one value."""
    return call_deeply(Encoder(strict=strict).encode, value)


def decode(form):
    """Returns the value of one form."""
    return call_deeply(Decoder().decode, form)
