"""A scheduled TPU program's text, added up: estimated cycles, collectives, the largest values.

XLA's TPU compiler writes `estimated_cycles` on every fusion and custom call it schedules, Pallas
kernels excepted. A loop's trip count is the constant its condition compares with.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator

_BYTES = {"pred": 1, "bf16": 2, "f16": 2}
_SHAPE = re.compile(r"\b(pred|bf16|[suf]\d+|f8\w+)\[([\d,]*)\](?:\{[^}]*\})?")
_KERNEL_COST = re.compile(r'"cost_estimate":\{"flops":"(\d+)"[^}]*"bytes_accessed":"(\d+)"')
_NAME = r"%?([\w.\-]+)"
_INSTRUCTION = re.compile(rf"^  (?:ROOT )?{_NAME} = (.*?) ([\w\-]+)\(")
_KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
_ALIASES = {"tuple", "get-tuple-element", "bitcast", "while", "conditional", "call"} | {
    "copy-start",
    "copy-done",
    "optimization-barrier",
}


@dataclasses.dataclass(frozen=True)
class Value:
    """An array of the program: its bytes on a device, and the line of ours that computes it."""

    bytes: int
    shape: str
    source: str


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of a run of the program on a device.

    Attributes:
      cycles: estimated, kernels excepted.
      collectives: op to (times run, bytes of the arrays gathered, reduced or scattered, and of
        these the bytes that travel while a fusion computes).
      kernels: Pallas calls run, that the cycles leave out.
      values: the largest, arguments among them.
      kernel_costs: (calls run, FLOPs, bytes of memory) of kernels that state their cost.
    """

    cycles: int
    collectives: dict[str, tuple[int, int, int]]
    kernels: int
    values: tuple[Value, ...]
    kernel_costs: tuple[tuple[int, int, int], ...] = ()


_COUNTING = {"parameter", "get-tuple-element", "constant", "compare", "fusion", "bitcast", "copy"}


def read(text: str, *, one_iteration: bool = False, largest: int = 10) -> Cost:
    """The cost of the module that `compiled.as_text()` printed.

    Args:
      text: of the module.
      one_iteration: count an iteration of the entry's loop, and nothing before and after it.
      largest: number of values to list.
    """
    computations, entry = _computations(text)
    walk = _walk_iteration if one_iteration else _walk
    total: Counter[str] = Counter()
    values: dict[tuple[str, str], Value] = {}
    channels: set[str] = set()
    kernels: Counter[tuple[int, int]] = Counter()
    for line, times in walk(computations, entry, 1):
        _add(line, times, total)
        if stated := _KERNEL_COST.search(line):
            kernels[int(stated.group(1)), int(stated.group(2))] += times
        for op, moved, hidden in _collectives(line, computations, channels):
            total[op] += times
            total[op + " bytes"] += times * moved
            total[op + " hidden"] += times * hidden
        if value := _value(line):
            values[value.shape, value.source] = value
    collectives = {
        op: (total[op], total[op + " bytes"], total[op + " hidden"]) for op in _KINDS if total[op]
    }
    ordered = sorted(values.values(), key=lambda value: -value.bytes)
    costs = tuple((times, *cost) for cost, times in kernels.items() if times)
    return Cost(total["cycles"], collectives, total["kernels"], tuple(ordered[:largest]), costs)


def size(text: str) -> int:
    """Bytes of all arrays that a type names."""
    return sum(_array_bytes(*match) for match in _SHAPE.findall(text))


def _array_bytes(element_type: str, dims: str) -> int:
    elements = 1
    for dim in filter(None, dims.split(",")):
        elements *= int(dim)
    bits = int(re.sub(r"\D", "", element_type) or 8)
    return elements * (_BYTES.get(element_type) or max(1, bits // 8))


def _computations(text: str) -> tuple[dict[str, list[str]], str]:
    """(lines of each computation by name, name of the entry)."""
    computations: dict[str, list[str]] = {}
    entry = name = ""
    for line in text.splitlines():
        header = re.match(rf"^(ENTRY )?{_NAME} \(.*\{{\s*$", line)
        if header:
            name = header.group(2)
            entry = name if header.group(1) else entry
            computations[name] = []
        elif line.startswith("  ") and name:
            computations[name].append(line)
        elif line.startswith("}}") and name:  # a kernel's own text has line breaks
            computations[name][-1] += line
    return computations, entry


def _walk(computations: dict[str, list[str]], name: str, times: int) -> Iterator[tuple[str, int]]:
    """Every scheduled line with how often it runs; a loop without a known end, once."""
    for line in computations.get(name, ()):
        yield line, times
        if " while(" in line:
            trips = _trips(computations, _called(line, "condition"))
            yield from _walk(computations, _called(line, "body"), times * trips)
        elif " conditional(" in line or " call(" in line:
            for branch in _branches(line):
                yield from _walk(computations, branch, times)


def _walk_iteration(
    computations: dict[str, list[str]], name: str, times: int
) -> Iterator[tuple[str, int]]:
    """Yields lines as _walk, but runs the entry's loops `times` times and other lines 0 times."""
    for line in computations[name]:
        yield line, 0
        if " while(" in line:
            yield from _walk(computations, _called(line, "body"), times)


def _branches(line: str) -> list[str]:
    """Names of the computations of a call or of all branches of a conditional."""
    several = re.search(r"branch_computations=\{([^}]*)\}", line)
    if several:
        return [name.strip().lstrip("%") for name in several.group(1).split(",")]
    roles = ("to_apply", "true_computation", "false_computation")
    return [name for role in roles if (name := _called(line, role))]


def _called(line: str, role: str) -> str:
    match = re.search(rf"{role}={_NAME}", line)
    return match.group(1) if match else ""


def _trips(computations: dict[str, list[str]], condition: str) -> int:
    """The constant that a loop counts to; 1 for any other condition."""
    lines = list(computations.get(condition, ()))
    for line in list(lines):
        lines += computations.get(_called(line, "calls"), ())
    match = [match for line in lines if (match := _INSTRUCTION.match(line))]
    if {match.group(3) for match in match} - _COUNTING:
        return 1
    numbers = [re.search(r"s32\[\][^=]*constant\((\d+)\)", line) for line in lines]
    return max((int(n.group(1)) for n in numbers if n), default=1)


def _add(line: str, times: int, total: Counter[str]) -> None:
    if cycles := re.search(r'"estimated_cycles":"(\d+)"', line):
        total["cycles"] += times * int(cycles.group(1))
    if " custom-call(" in line and "tpu_custom_call" in line:
        total["kernels"] += times


def _collectives(
    line: str, computations: dict[str, list[str]], channels: set[str]
) -> Iterator[tuple[str, int, int]]:
    """(op, bytes, bytes that travel beside computation) of what a line, or its fusion, sends.

    An asynchronous collective stands in several fusions, which share its channel: it counts once.
    Outside of fusions a channel says nothing: all those of a shard_map have the same.
    TPU's reduce-scatter is a fusion around an all-reduce of which each device keeps its part. A v7x
    hands collectives to its sparse cores, by an asynchronous call.
    """
    called = _called(line, "to_apply" if " call-start(" in line else "calls")
    scatters = called.startswith("all-reduce-scatter")
    for inner in (line, *computations.get(called, ())):
        match = _INSTRUCTION.match(inner)
        if not match or match.group(3).removesuffix("-start") not in _KINDS:
            continue
        channel = re.search(r"channel_id=(\d+)", inner) if inner is not line else None
        if channel and channel.group(1) in channels:
            continue
        channels.update(channel.groups() if channel else ())
        op = match.group(3).removesuffix("-start")
        moved = size(match.group(2)) // (2 if match.group(3).endswith("-start") else 1)
        hidden = moved if inner is not line and not scatters else 0
        yield ("reduce-scatter" if scatters else op), moved, hidden


def _value(line: str) -> Value | None:
    """An array in HBM (S(1) and up are on-chip memories) that the line makes or is given."""
    match = _INSTRUCTION.match(line)
    if not match or match.group(3) in _ALIASES or "S(1)" in match.group(2):
        return None
    arrays = list(_SHAPE.finditer(match.group(2)))
    if not arrays:
        return None
    shape = max(arrays, key=lambda match: _array_bytes(*match.groups()))
    source = re.search(r'op_name="([^"]*)"', line)
    if match.group(3) == "parameter" and not source:
        return None  # a loop's own view of what was counted where it was made
    return Value(
        _array_bytes(*shape.groups()),
        f"{shape.group(1)}[{shape.group(2)}]",
        (source.group(1) if source else match.group(3)).replace("/while/body/closed_call", ""),
    )
