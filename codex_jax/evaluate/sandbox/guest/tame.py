"""Programs that can't touch anything but their own values, told by their bytecode.

Such a program need not be walled off from the next one of its kind: it names no builtin, module
or attribute but those listed here, none of which leads to another program, to this process's own
state or to the system; it defines no classes and stores no attributes, so that nothing shared can
be changed and nothing of it runs once it has been asked. What isn't listed isn't tame. It can still
loop for ever, eat memory or exhaust the stack, which is for who runs it to see.
"""

import opcode
import sys
import types

_READ = range(11, 14)  # minor versions whose bytecode has the meaning that is assumed here
_BUILTINS = (
    "ArithmeticError AssertionError AttributeError Exception False IndexError KeyError LookupError "
    "NameError None NotImplemented NotImplementedError OverflowError RuntimeError StopIteration "
    "True TypeError UnicodeDecodeError UnicodeEncodeError UnicodeError ValueError "
    "ZeroDivisionError abs all any ascii bin bool bytes callable chr complex dict divmod enumerate "
    "filter float frozenset hash hex int isinstance issubclass iter len list map max min next oct "
    "ord pow print range repr reversed round set slice sorted str sum tuple zip"
)
_OWN = "__name__ __doc__ __annotations__"  # names of the program's own that look like others'
MODULES = {
    "bisect": "bisect bisect_left bisect_right insort insort_left insort_right",
    "collections": "Counter OrderedDict defaultdict deque",
    "copy": "copy deepcopy",
    "functools": "cmp_to_key lru_cache reduce",
    "hashlib": "md5 sha1 sha224 sha256 sha384 sha512",
    "heapq": "heapify heappop heappush heappushpop heapreplace merge nlargest nsmallest",
    "itertools": "accumulate chain combinations combinations_with_replacement compress count "
    "cycle dropwhile filterfalse groupby islice permutations product repeat starmap takewhile "
    "zip_longest",
    "math": "acos acosh asin asinh atan atan2 atanh ceil comb copysign cos cosh degrees dist e erf "
    "erfc exp expm1 fabs factorial floor fmod frexp fsum gamma gcd hypot inf isclose isfinite "
    "isinf isnan isqrt lcm ldexp lgamma log log10 log1p log2 modf nan perm pi pow prod radians "
    "remainder sin sinh sqrt tan tanh tau trunc",
    "re": "A ASCII DOTALL I IGNORECASE M MULTILINE S VERBOSE X compile escape findall finditer "
    "fullmatch match search split sub subn",
    "string": "ascii_letters ascii_lowercase ascii_uppercase digits hexdigits octdigits "
    "printable punctuation whitespace",
    "typing": "Any Callable Deque Dict FrozenSet Generator Iterable Iterator List Mapping Optional "
    "Sequence Set Tuple Union",
}
METHODS = (
    "add append appendleft as_integer_ratio bit_count bit_length capitalize casefold center clear "
    "conjugate copy count difference difference_update digest discard elements encode end endswith "
    "expandtabs extend extendleft find from_iterable fromkeys get group groupdict groups hexdigest "
    "imag index insert intersection intersection_update is_integer isalnum isalpha isascii "
    "isdecimal isdigit isdisjoint isidentifier islower isnumeric isprintable isspace issubset "
    "issuperset istitle isupper items join keys ljust lower lstrip maketrans most_common "
    "move_to_end numerator denominator partition pop popitem popleft real remove removeprefix "
    "removesuffix replace reverse rfind rindex rjust rotate rpartition rsplit rstrip setdefault "
    "sort span split splitlines start startswith strip subtract swapcase symmetric_difference "
    "symmetric_difference_update title translate union update upper values zfill"
)
_OPERATIONS = (
    "CACHE EXTENDED_ARG NOP RESUME POP_TOP PUSH_NULL COPY SWAP PRECALL CALL KW_NAMES CALL_KW "
    "CALL_FUNCTION_EX RETURN_VALUE RETURN_CONST RETURN_GENERATOR YIELD_VALUE SEND END_SEND "
    "GET_YIELD_FROM_ITER END_FOR ASYNC_GEN_WRAP "
    "UNARY_POSITIVE UNARY_NEGATIVE UNARY_NOT UNARY_INVERT TO_BOOL BINARY_OP BINARY_SUBSCR "
    "BINARY_SLICE STORE_SLICE STORE_SUBSCR DELETE_SUBSCR COMPARE_OP IS_OP CONTAINS_OP "
    "LOAD_CONST LOAD_FAST LOAD_FAST_CHECK LOAD_FAST_AND_CLEAR LOAD_FAST_LOAD_FAST STORE_FAST "
    "STORE_FAST_LOAD_FAST STORE_FAST_STORE_FAST DELETE_FAST LOAD_DEREF STORE_DEREF DELETE_DEREF "
    "LOAD_CLOSURE MAKE_CELL COPY_FREE_VARS MAKE_FUNCTION SET_FUNCTION_ATTRIBUTE "
    "LOAD_NAME STORE_NAME DELETE_NAME LOAD_GLOBAL STORE_GLOBAL DELETE_GLOBAL LOAD_ATTR LOAD_METHOD "
    "IMPORT_NAME IMPORT_FROM SETUP_ANNOTATIONS LOAD_ASSERTION_ERROR "
    "BUILD_TUPLE BUILD_LIST BUILD_SET BUILD_MAP BUILD_CONST_KEY_MAP BUILD_STRING BUILD_SLICE "
    "LIST_TO_TUPLE LIST_EXTEND SET_UPDATE DICT_UPDATE DICT_MERGE LIST_APPEND SET_ADD MAP_ADD "
    "UNPACK_SEQUENCE UNPACK_EX FORMAT_VALUE FORMAT_SIMPLE FORMAT_WITH_SPEC CONVERT_VALUE "
    "CALL_INTRINSIC_1 "
    "GET_ITER FOR_ITER JUMP_FORWARD JUMP_BACKWARD JUMP_BACKWARD_NO_INTERRUPT "
    "JUMP_IF_FALSE_OR_POP JUMP_IF_TRUE_OR_POP POP_JUMP_IF_FALSE POP_JUMP_IF_TRUE POP_JUMP_IF_NONE "
    "POP_JUMP_IF_NOT_NONE POP_JUMP_FORWARD_IF_FALSE POP_JUMP_FORWARD_IF_TRUE "
    "POP_JUMP_FORWARD_IF_NONE POP_JUMP_FORWARD_IF_NOT_NONE POP_JUMP_BACKWARD_IF_FALSE "
    "POP_JUMP_BACKWARD_IF_TRUE POP_JUMP_BACKWARD_IF_NONE POP_JUMP_BACKWARD_IF_NOT_NONE "
    "RAISE_VARARGS RERAISE PUSH_EXC_INFO POP_EXCEPT CHECK_EXC_MATCH"
)
_INTRINSICS = (3, 5, 6)  # of CALL_INTRINSIC_1: none that prints, or imports all names of a module
_READABLE = frozenset(METHODS.split()).union(*(names.split() for names in MODULES.values()))
_NAMES = frozenset((_BUILTINS + " " + _OWN).split())


def _numbers(names):
    return frozenset(opcode.opmap[name] for name in names.split() if name in opcode.opmap)


_SAFE = _numbers(_OPERATIONS)
_LOADS, _STORES = _numbers("LOAD_NAME LOAD_GLOBAL"), _numbers("STORE_NAME STORE_GLOBAL")
_ATTRIBUTES = _numbers("LOAD_ATTR LOAD_METHOD IMPORT_FROM")
_IMPORT, _INTRINSIC = _numbers("IMPORT_NAME"), _numbers("CALL_INTRINSIC_1")
_DELETES = _numbers("DELETE_NAME DELETE_GLOBAL")
_LOOKED_AT = _LOADS | _STORES | _ATTRIBUTES | _IMPORT | _INTRINSIC | _DELETES
_CATCH, _EXTEND = _numbers("PUSH_EXC_INFO"), opcode.opmap["EXTENDED_ARG"]
_GENERATOR, _COROUTINES = 0x20, 0x380
# Where the argument of a load holds a flag beside the name's place.
_SHIFT = dict.fromkeys(_numbers("LOAD_GLOBAL"), 1)
if sys.version_info >= (3, 12):
    _SHIFT.update(dict.fromkeys(_numbers("LOAD_ATTR"), 1))


def world():
    """A new namespace for a tame program, with the builtins that one may name."""
    known = sys.modules["builtins"].__dict__
    builtins = {name: known[name] for name in _BUILTINS.split()}
    builtins["__import__"] = known["__import__"]  # can't be named; import statements need it
    return {"__name__": "program", "__doc__": None, "__builtins__": builtins}


def is_tame(code):
    """Whether code, fresh from the compiler, is a tame program's."""
    if sys.version_info.minor not in _READ or sys.implementation.name != "cpython":
        return False
    codes = [code]
    while codes:
        one = codes.pop()
        if not _harmless(one):
            return False
        codes += [constant for constant in one.co_consts if type(constant) is types.CodeType]
    return True


def _harmless(code):
    raw, names = code.co_code, code.co_names
    operations = set(raw[::2])
    if not operations <= _SAFE:
        return False
    if code.co_flags & _COROUTINES or (code.co_flags & _GENERATOR and operations & _CATCH):
        return False  # a generator might go on when it is thrown away
    if not operations & _LOOKED_AT:
        return True
    high = 0
    for operation, low in zip(raw[::2], raw[1::2], strict=True):
        if operation == _EXTEND:
            high = (high | low) << 8
            continue
        if operation in _LOOKED_AT and not _allowed(operation, high | low, names):
            return False
        high = 0
    return True


def _allowed(operation, argument, names):
    if operation in _INTRINSIC:
        return argument in _INTRINSICS
    name = names[argument >> _SHIFT.get(operation, 0)]
    if operation in _ATTRIBUTES:
        return name in _READABLE
    if operation in _IMPORT:
        return name in MODULES
    return name in _NAMES or not (name in _ALL_BUILTINS or "__" in name)


_ALL_BUILTINS = frozenset(dir(sys.modules["builtins"]))
