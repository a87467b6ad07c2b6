"""Forms of values of modules that most programs don't load: dates, decimals, fractions, arrays.

Each function adds a module's types to the tables of value_codec: containers, which have numbers,
and atoms by type, and what reads both by tag.
"""


def _add_array(array, containers, _atoms, mutable, _readers):
    containers[array.array] = lambda _, v: {"array": [v.typecode, v.tolist()]}
    mutable["array"] = (
        lambda body: array.array(body[0]),
        lambda _, c, body: c.extend(array.array(body[0], body[1])),
    )


def _add_decimal(decimal, _containers, atoms, _mutable, readers):
    def read(_, text):
        if len(text) > 10_000:
            raise ValueError("a decimal of too many digits")
        return decimal.Decimal(text)

    atoms[decimal.Decimal] = lambda _, v: {"decimal": str(v)}
    readers["decimal"] = read


def _add_fractions(fractions, _containers, atoms, _mutable, readers):
    atoms[fractions.Fraction] = lambda _, v: {"fraction": [hex(v.numerator), hex(v.denominator)]}
    readers["fraction"] = lambda _, body: fractions.Fraction(*(int(n, 16) for n in body))


def _add_datetime(datetime, _containers, atoms, _mutable, readers):
    def write_clock(tag):
        def write(encoder, value):
            if value.tzinfo is not None and type(value.tzinfo) is not datetime.timezone:
                return None
            zone = encoder.encode(value.tzinfo)
            return {tag: [value.replace(tzinfo=None).isoformat(), value.fold, zone]}

        return write

    def read_clock(exact):
        def read(decoder, body):
            value = exact.fromisoformat(body[0])
            return value.replace(fold=body[1], tzinfo=decoder.decode(body[2]))

        return read

    atoms[datetime.date] = lambda _, v: {"date": v.isoformat()}
    atoms[datetime.timedelta] = lambda _, v: {"timedelta": [v.days, v.seconds, v.microseconds]}
    atoms[datetime.timezone] = lambda encoder, v: {"timezone": encoder.items(v.__getinitargs__())}
    readers["date"] = lambda _, body: datetime.date.fromisoformat(body)
    readers["timedelta"] = lambda _, body: datetime.timedelta(*body)
    readers["timezone"] = lambda decoder, body: datetime.timezone(*decoder.items(body))
    for exact in (datetime.datetime, datetime.time):
        atoms[exact] = write_clock(exact.__name__)
        readers[exact.__name__] = read_clock(exact)


ADD = {
    "array": _add_array,
    "datetime": _add_datetime,
    "decimal": _add_decimal,
    "fractions": _add_fractions,
}
_DATES = ("date", "datetime", "time", "timedelta", "timezone")
MODULE_OF = {
    "array": "array",
    "decimal": "decimal",
    "fraction": "fractions",
    **dict.fromkeys(_DATES, "datetime"),
}
