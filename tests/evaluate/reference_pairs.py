"""Honest references and tests whose answers are more than plain data, each with a wrong program.

A row is a name, the program, its test's body (`c` is the candidate), and the replacement in the
program that makes it wrong. The function under test is `f`.
"""

from typing import NamedTuple


class Pair(NamedTuple):
    program: str
    test: str
    right: str  # in the program
    wrong: str  # in its stead


# Judged outside: their answers and arguments are carried faithfully.
CARRIED = {
    "date": Pair(
        "import datetime\ndef f(n):\n"
        "    return datetime.date(2024, 2, 28) + datetime.timedelta(n)\n",
        "import datetime\nassert c(1) == datetime.date(2024, 2, 29)\nassert c(2).month == 3",
        "timedelta(n)",
        "timedelta(n + 1)",
    ),
    "datetime with a zone": Pair(
        "from datetime import datetime, timedelta, timezone\ndef f(h):\n"
        "    return datetime(2024, 1, 1, 12, tzinfo=timezone(timedelta(hours=h)))\n",
        "from datetime import datetime, timezone\n"
        "assert c(2) == datetime(2024, 1, 1, 10, tzinfo=timezone.utc)\n"
        "assert c(2).utcoffset().seconds == 7200",
        "12, tz",
        "13, tz",
    ),
    "time and timedelta": Pair(
        "import datetime\ndef f(a):\n    return datetime.time(a), datetime.timedelta(hours=a)\n",
        "t, d = c(5)\nassert t.hour == 5 and t.isoformat() == '05:00:00'\n"
        "assert d.total_seconds() == 18000",
        "time(a)",
        "time(a + 1)",
    ),
    "a date as argument": Pair(
        "def f(day):\n    return day.replace(day=1)\n",
        "import datetime\nassert c(datetime.date(2024, 5, 7)) == datetime.date(2024, 5, 1)",
        "day=1",
        "day=2",
    ),
    "deque": Pair(
        "import collections\ndef f(n):\n    return collections.deque(range(n), maxlen=3)\n",
        "q = c(5)\nassert list(q) == [2, 3, 4] and q.maxlen == 3\nq.appendleft(9)\n"
        "assert q.popleft() == 9\nfrom collections import deque\nassert c(2) == deque([0, 1])",
        "maxlen=3",
        "maxlen=4",
    ),
    "a deque as argument": Pair(
        "def f(q):\n    q.rotate(1)\n    return q[0]\n",
        "from collections import deque\nq = deque([1, 2, 3])\nassert c(q) == 3\n"
        "assert q == deque([3, 1, 2])",
        "rotate(1)",
        "rotate(4); q.append(0)",
    ),
    "array": Pair(
        "import array\ndef f(n):\n    return array.array('i', range(n))\n",
        "a = c(3)\nassert a.typecode == 'i' and a.tolist() == [0, 1, 2]\n"
        "import array\nassert a == array.array('i', [0, 1, 2])",
        "'i'",
        "'d'",
    ),
    "slice": Pair(
        "def f(a, b):\n    return slice(a, b)\n",
        "assert [1, 2, 3, 4][c(1, 3)] == [2, 3]\nassert c(1, 3).stop == 3",
        "slice(a, b)",
        "slice(a + 1, b)",
    ),
    "dict views": Pair(
        "def f(d):\n    return d.keys(), d.values(), d.items()\n",
        "k, v, i = c({'a': 1, 'b': 2})\nassert k == {'a', 'b'} and k & {'a'} == {'a'}\n"
        "assert list(v) == [1, 2] and len(i) == 2 and ('a', 1) in i",
        "d.keys(),",
        "dict(z=1).keys(),",
    ),
    "an endless generator": Pair(
        "def f(n):\n    while True:\n        yield n\n        n += 1\n",
        "import itertools\ng = c(4)\nassert next(g) == 4\n"
        "assert list(itertools.islice(g, 3)) == [5, 6, 7]\n"
        "assert [a for a, _ in zip(c(0), range(3))] == [0, 1, 2]",
        "n += 1",
        "n += 2",
    ),
    "count": Pair(
        "import itertools\ndef f(n):\n    return itertools.count(n, 2)\n",
        "g = c(1)\nassert [next(g) for _ in range(3)] == [1, 3, 5]\nassert iter(g) is g",
        "(n, 2)",
        "(n, 3)",
    ),
    "two generators in turn": Pair(
        "def f(n):\n    def g(k):\n        for i in range(n):\n            yield i * k\n"
        "    return [g(1), g(10)]\n",
        "a, b = c(3)\nassert [next(a), next(b), next(a), next(b)] == [0, 0, 1, 10]\n"
        "assert list(a) == [2] and list(a) == [] and next(b) == 20",
        "g(10)",
        "g(9)",
    ),
    "a generator that raises": Pair(
        "def f(n):\n    yield 1\n    raise ValueError(n)\n",
        "g = c(7)\nassert next(g) == 1\ntry:\n    next(g)\nexcept ValueError as e:\n"
        "    assert e.args == (7,)\nelse:\n    assert False",
        "ValueError(n)",
        "ValueError(n + 1)",
    ),
    "a generator's changes of its argument": Pair(
        "def f(items):\n    while items:\n        yield items.pop()\n",
        "x = [1, 2, 3]\ng = c(x)\nassert x == [1, 2, 3]\nassert next(g) == 3 and x == [1, 2]\n"
        "assert list(g) == [2, 1] and x == []",
        "items.pop()",
        "items.pop(0)",
    ),
    "Counter": Pair(
        "import collections\ndef f(s):\n    return collections.Counter(s)\n",
        "n = c('aab')\nassert n['a'] == 2 and n['z'] == 0\n"
        "assert n.most_common(1) == [('a', 2)]\nassert n + n == c('aabaab')",
        "Counter(s)",
        "Counter(s[1:])",
    ),
    "defaultdict": Pair(
        "import collections\ndef f(words):\n    d = collections.defaultdict(list)\n"
        "    for w in words:\n        d[len(w)].append(w)\n    return d\n",
        "d = c(['a', 'bb', 'c'])\nassert d[1] == ['a', 'c'] and d[9] == []",
        "d[len(w)]",
        "d[len(w) + 1]",
    ),
    "OrderedDict": Pair(
        "import collections\ndef f(s):\n    return collections.OrderedDict.fromkeys(s)\n",
        "from collections import OrderedDict\nd = c('ba')\n"
        "assert d == OrderedDict([('b', None), ('a', None)])\nd.move_to_end('b')\n"
        "assert list(d) == ['a', 'b']",
        "fromkeys(s)",
        "fromkeys(sorted(s))",
    ),
    "namedtuple": Pair(
        "import collections\nPoint = collections.namedtuple('Point', 'x y')\n"
        "def f(a, b):\n    return Point(x=a, y=b)\n",
        "p = c(1, 2)\nassert p.x == 1 and p.y == 2 and p == (1, 2)\n"
        "assert p._replace(x=5).x == 5 and repr(p) == 'Point(x=1, y=2)'",
        "x=a, y=b",
        "x=b, y=a",
    ),
    "NamedTuple": Pair(
        "from typing import NamedTuple\nclass Span(NamedTuple):\n    low: int\n    high: int = 9\n"
        "def f(a):\n    return [Span(a)]\n",
        "(s,) = c(4)\nassert s._asdict() == {'low': 4, 'high': 9} and s.high == 9",
        "= 9",
        "= 8",
    ),
    "an exception's args": Pair(
        "def f(n):\n    raise ValueError('negative', n)\n",
        "try:\n    c(-1)\nexcept ValueError as e:\n    assert e.args == ('negative', -1)\n"
        "else:\n    assert False",
        "('negative', n)",
        "('negative', 0)",
    ),
    "KeyError": Pair(
        "def f(d, k):\n    return d[k]\n",
        "try:\n    c({}, 'x')\nexcept KeyError as e:\n    assert str(e) == \"'x'\"\n"
        "    assert e.args[0] == 'x'\nelse:\n    assert False",
        "d[k]",
        "d.get(k)",
    ),
    "UnicodeDecodeError": Pair(
        "def f(b):\n    return b.decode('ascii')\n",
        "try:\n    c(b'a\\xff')\nexcept UnicodeDecodeError as e:\n    assert e.start == 1\n"
        "else:\n    assert False",
        "'ascii'",
        "'latin-1'",
    ),
    "an exception of its own": Pair(
        "class Refused(Exception):\n    def __init__(self, code):\n"
        "        super().__init__(f'code {code}')\n        self.code = code\n"
        "class Worse(Refused):\n    pass\n"
        "def f(n):\n    raise Worse(n) if n > 9 else Refused(n)\n",
        "try:\n    c(7)\nexcept Refused as e:\n    assert type(e) is Refused\n"
        "    assert e.code == 7 and str(e) == 'code 7'\nelse:\n    assert False\n"
        "try:\n    c(10)\nexcept Worse as e:\n    assert e.code == 10\nelse:\n    assert False",
        "self.code = code",
        "self.code = code + 1",
    ),
    "one list twice": Pair(
        "def f(a, b):\n    a.append(1)\n    return len(b)\n",
        "x = []\nassert c(x, x) == 1\nassert x == [1]\nassert c([], []) == 0",
        "a.append(1)",
        "a = a + [1]",
    ),
    "rows that are one list": Pair(
        "def f(rows):\n    rows[0][0] = 5\n    return rows\n",
        "r = c([[0] * 2] * 2)\nassert r == [[5, 0], [5, 0]] and r[0] is r[1]",
        "rows[0][0] = 5",
        "rows[0] = [5, 0]; rows[1] = [5, 0]",
    ),
    "its argument returned": Pair(
        "def f(x):\n    x.sort()\n    return x\n",
        "x = [2, 1]\nassert c(x) is x and x == [1, 2]\nd = {'k': [2, 1]}\n"
        "assert c(d['k']) is d['k']",
        "return x",
        "return list(x)",
    ),
    "a new list returned": Pair(
        "def f(x):\n    return sorted(x)\n",
        "x = [1, 2]\ny = c(x)\nassert y == x and y is not x",
        "sorted(x)",
        "x",
    ),
    "a part of its argument returned": Pair(
        "def f(x):\n    return max(x)\n",
        "x = [[1], [3], [2]]\nassert c(x) is x[1]\nt = ((1,), (2,))\nassert c(t) is t[1]",
        "max(x)",
        "list(max(x))",
    ),
    "a list inside an argument": Pair(
        "def f(grid):\n    grid[1][0] = 9\n",
        "inner = [2]\ngrid = [[1], inner]\nc(grid)\nassert inner == [9] and grid[1] is inner\n"
        "t = ([1], [2])\nc(t)\nassert t == ([1], [9])\nd = {1: [0]}\nc(d)\nassert d == {1: [9]}",
        "grid[1][0] = 9",
        "grid[1] = [9]",
    ),
    "a set inside an argument": Pair(
        "def f(d):\n    d['seen'].add(4)\n",
        "s = {1}\nc({'seen': s})\nassert s == {1, 4}",
        "d['seen'].add(4)",
        "d['seen'] = {1, 4}",
    ),
    "rows exchanged": Pair(
        "def f(rows):\n    rows.reverse()\n",
        "a, b = [1], [1, 2]\nrows = [a, b]\nc(rows)\nassert rows[0] is b and rows[1] is a",
        "rows.reverse()",
        "rows[:] = [list(r) for r in reversed(rows)]",
    ),
    "a change before an exception": Pair(
        "def f(x):\n    x.append(1)\n    raise ValueError\n",
        "x = []\ntry:\n    c(x)\nexcept ValueError:\n    pass\nassert x == [1]",
        "x.append(1)",
        "x.append(2)",
    ),
    "350 deep": Pair(
        "def f(n):\n    x = []\n    for _ in range(n):\n        x = [x]\n    return x\n",
        "x, depth = c(350), 0\nwhile x:\n    (x,), depth = x, depth + 1\nassert depth == 350",
        "range(n)",
        "range(n - 1)",
    ),
    "an argument 350 deep": Pair(
        "def f(x):\n    n = 0\n    while x:\n        x, n = x[0], n + 1\n    return n\n",
        "x = []\nfor _ in range(350):\n    x = [x]\nassert c(x) == 350",
        "n + 1",
        "n + 2",
    ),
    "a list in itself": Pair(
        "def f(x):\n    x.append(x)\n    return x\n",
        "x = c([1])\nassert x[1] is x and len(x) == 2",
        "x.append(x)",
        "x.append([1])",
    ),
    "an exception of a module": Pair(
        "import json\ndef f(s):\n    return json.loads(s)\n",
        "import json\ntry:\n    c('[1,')\nexcept json.JSONDecodeError as e:\n"
        "    assert e.pos == 3 and e.doc == '[1,'\nelse:\n    assert False",
        "loads(s)",
        "loads('[' + s)",
    ),
    "notes": Pair(
        "def f():\n    e = ValueError(1)\n    e.add_note('why')\n    raise e\n",
        "try:\n    c()\nexcept ValueError as e:\n    assert e.__notes__ == ['why']\n"
        "else:\n    assert False",
        "'why'",
        "'how'",
    ),
    "one iterator twice": Pair(
        "def f(n):\n    i = iter(range(n))\n    return i, i\n",
        "a, b = c(3)\nassert a is b and next(a) == 0 and next(b) == 1",
        "i, i",
        "i, iter(range(n))",
    ),
    "permutations": Pair(
        "import itertools\ndef f(a):\n    return itertools.permutations(a)\n",
        "assert next(c(range(30))) == tuple(range(30))\nassert list(c([1, 2])) == [(1, 2), (2, 1)]",
        "permutations(a)",
        "permutations(a, 2)",
    ),
    "a type": Pair(
        "def f(x):\n    return type(x)\n",
        "assert c(3) is int and c('a') == str and c(None) is type(None)",
        "type(x)",
        "type([x])",
    ),
    "a type as argument": Pair(
        "def f(items, t):\n    return [x for x in items if isinstance(x, t)]\n",
        "assert c([1, 'a', 2.0], str) == ['a'] and c([1, 'a'], int) == [1]",
        "isinstance(x, t)",
        "not isinstance(x, t)",
    ),
    "numbers": Pair(
        "from decimal import Decimal\nfrom fractions import Fraction\ndef f(n):\n"
        "    return Decimal(n) / 4, Fraction(n, 4), complex(n, -0.0), 10**n, -0.0, range(n)\n",
        "d, q, z, big, zero, r = c(30)\nassert str(d) == '7.5' and q.denominator == 2\n"
        "assert str(z) == '(30-0j)' and big == 10**30 and str(zero) == '-0.0' and r[3] == 3",
        "10**n, -0.0",
        "10**n, 0.0",
    ),
    "bytes": Pair(
        "def f(s):\n    return s.encode(), bytearray(s, 'utf8'), frozenset(s)\n",
        "a, b, s = c('ab')\nassert a == b'ab' and b == a and type(b) is bytearray\n"
        "b[0] = 65\nassert s == {'a', 'b'} and type(s) is frozenset",
        "bytearray(s, 'utf8')",
        "bytes(s, 'utf8')",
    ),
}

# Judged in-process: their answers can't leave the process that they are in.
IN_PROCESS = {
    "closure": Pair(
        "def f(n):\n    def add(k):\n        return n + k\n    return add\n",
        "assert c(1)(2) == 3",
        "n + k",
        "n - k",
    ),
    "a closure with a state": Pair(
        "def f():\n    n = 0\n    def count():\n        nonlocal n\n        n += 1\n"
        "        return n\n    return count\n",
        "g = c()\nassert [g(), g(), c()()] == [1, 2, 1]",
        "n += 1",
        "n += 2",
    ),
    "an object of its own class": Pair(
        "class Stack:\n    def __init__(self):\n        self.items = []\n"
        "    def push(self, x):\n        self.items.append(x)\n        return self\n"
        "def f(x):\n    return Stack().push(x)\n",
        "s = c(4)\nassert s.items == [4] and s.push(5).items == [4, 5]",
        "append(x)",
        "append([x])",
    ),
    "a class": Pair(
        "class f:\n    def __init__(self, balance):\n        self.balance = balance\n"
        "    def pay(self, n):\n        self.balance -= n\n",
        "account = c(10)\naccount.pay(3)\nassert account.balance == 7",
        "-= n",
        "-= n + 1",
    ),
    "an object with an order": Pair(
        "import functools\n@functools.total_ordering\nclass Card:\n"
        "    def __init__(self, n):\n        self.n = n\n"
        "    def __eq__(self, other):\n        return self.n == other.n\n"
        "    def __lt__(self, other):\n        return self.n < other.n\n"
        "def f(n):\n    return Card(n)\n",
        "assert c(1) < c(2) and c(1) == c(1) and not c(2) == c(1)",
        "self.n < other.n",
        "self.n > other.n",
    ),
    "a dataclass": Pair(
        "import dataclasses\n@dataclasses.dataclass\nclass Item:\n    name: str\n"
        "    price: int = 3\n"
        "def f(name):\n    return Item(name)\n",
        "assert c('a').price == 3 and c('a') == c('a')",
        "= 3",
        "= 4",
    ),
    "a match": Pair(
        "import re\ndef f(s):\n    return re.search(r'(\\d+)-(\\d+)', s)\n",
        "m = c('a 10-25 b')\nassert m.group(2) == '25' and m.span() == (2, 7)\n"
        "assert c('') is None",
        "-(\\d+)",
        "-(\\d)",
    ),
    "a compiled pattern": Pair(
        "import re\ndef f(s):\n    return re.compile(s + '+')\n",
        "assert c('a').fullmatch('aaa') and not c('a').fullmatch('b')",
        "s + '+'",
        "'b+'",
    ),
    "enum": Pair(
        "import enum\nclass Color(enum.Enum):\n    RED = 1\n    BLUE = 2\n"
        "def f(n):\n    return Color(n)\n",
        "assert c(1).name == 'RED' and c(2).value == 2 and c(1) is c(1)",
        "RED = 1\n    BLUE = 2",
        "RED = 2\n    BLUE = 1",
    ),
    "IntEnum": Pair(
        "import enum\nclass Level(enum.IntEnum):\n    LOW = 1\n    HIGH = 2\n"
        "def f(n):\n    return Level(n)\n",
        "assert c(2) > c(1) and c(2).name == 'HIGH'",
        "HIGH",
        "TOP",
    ),
    "a dict of its own": Pair(
        "class Default(dict):\n    def __missing__(self, key):\n        return key * 2\n"
        "def f(n):\n    return Default(a=n)\n",
        "d = c(1)\nassert d['a'] == 1 and d['z'] == 'zz'",
        "key * 2",
        "key * 3",
    ),
    "a generator that is sent values": Pair(
        "def f():\n    total = 0\n    while True:\n        total += yield total\n",
        "g = c()\nnext(g)\nassert g.send(3) == 3 and g.send(4) == 7",
        "total +=",
        "total =",
    ),
    "a function as argument": Pair(
        "def f(g, x):\n    return g(g(x))\n",
        "assert c(lambda n: n + 1, 1) == 3",
        "g(g(x))",
        "g(x)",
    ),
    "an iterator as argument": Pair(
        "def f(numbers):\n    return next(numbers) + next(numbers)\n",
        "it = iter([1, 2, 4])\nassert c(it) == 3 and next(it) == 4",
        "next(numbers) + next(numbers)",
        "sum(numbers)",
    ),
    "a context manager": Pair(
        "import contextlib\n@contextlib.contextmanager\ndef f(log):\n    log.append('in')\n"
        "    yield 5\n    log.append('out')\n",
        "log = []\nwith c(log) as x:\n    assert x == 5 and log == ['in']\n"
        "assert log == ['in', 'out']",
        "append('out')",
        "append('in')",
    ),
    "a module's state": Pair(
        "import random\ndef f(seed):\n    random.seed(seed)\n    return random.Random(seed)\n",
        "import random\nassert c(1).random() == random.Random(1).random()",
        "Random(seed)",
        "Random(seed + 1)",
    ),
    "what it prints": Pair(
        "def f():\n    print('hi')\n",
        "import contextlib, io\nout = io.StringIO()\n"
        "with contextlib.redirect_stdout(out):\n    c()\n"
        "assert out.getvalue() == 'hi\\n'",
        "'hi'",
        "'ho'",
    ),
    "what it does with its seed": Pair(
        "import random\ndef f():\n    return random.random()\n",
        "import random\nrandom.seed(3)\na = c()\nrandom.seed(3)\nassert c() == a",
        "return random.random()",
        "return random.SystemRandom().random()",
    ),
    "a name and a document": Pair(
        "def f():\n    'Says so.'\n",
        "assert c.__name__ == 'f' and c.__doc__ == 'Says so.'",
        "'Says so.'",
        "'Says no.'",
    ),
    "a counter of its calls": Pair(
        "import functools\n@functools.lru_cache\ndef f(n):\n    return n\n",
        "c(1), c(1)\nassert c.cache_info().hits == 1",
        "@functools.lru_cache",
        "@functools.lru_cache(maxsize=0)",
    ),
    "an answer that is kept": Pair(
        "def f(n, seen={}):\n    seen[n] = 1\n    return seen\n",
        "assert c(1) is c(2)",
        "return seen",
        "return dict(seen)",
    ),
    "SystemExit": Pair(
        "def f(n):\n    raise SystemExit(n)\n",
        "try:\n    c(3)\nexcept SystemExit as e:\n    assert e.code == 3\nelse:\n    assert False",
        "SystemExit(n)",
        "SystemExit(n + 1)",
    ),
    "objects without an order": Pair(
        "class Point:\n    def __init__(self, n):\n        self.n = n\n"
        "    def __eq__(self, other):\n        return self.n == other.n\n"
        "def f(n):\n    return Point(n)\n",
        "assert c(1) != c(2)",
        "self.n == other.n",
        "True",
    ),
    "a coroutine": Pair(
        "async def f(n):\n    return n + 1\n",
        "import asyncio\nassert asyncio.run(c(2)) == 3",
        "n + 1",
        "n + 2",
    ),
    "a cause": Pair(
        "def f(s):\n    try:\n        return int(s)\n    except ValueError as e:\n"
        "        raise KeyError(s) from e\n",
        "try:\n    c('x')\nexcept KeyError as e:\n    assert isinstance(e.__cause__, ValueError)\n"
        "else:\n    assert False",
        " from e",
        " from None",
    ),
}
