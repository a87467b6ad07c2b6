"""Sizes, loops, branches and collectives of small programs written by hand."""

import hypothesis
import pytest
from hypothesis import strategies as st

from codex_jax.compile import hlo

WIDTHS = {"f32": 4, "bf16": 2, "f16": 2, "s32": 4, "u8": 1, "s64": 8, "pred": 1, "f8e4m3fn": 1}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("f32[]", 4),
        ("bf16[3,5]{1,0:T(8,128)(2,1)}", 30),
        ("pred[7]", 7),
        ("(f32[2]{0}, s8[3], token[])", 11),
        ("f32[0,9]", 0),
    ],
)
def test_the_size_of_a_type(shape, expected):
    assert hlo.size(shape) == expected


@hypothesis.given(
    st.lists(
        st.tuples(st.sampled_from(sorted(set(WIDTHS) - {"f8e4m3fn"})), st.lists(st.integers(1, 9))),
        max_size=4,
    )
)
def test_a_tuple_is_as_large_as_its_members(members):
    names = [f"{name}[{','.join(map(str, dims))}]" for name, dims in members]
    assert hlo.size(f"({', '.join(names)})") == sum(map(hlo.size, names))


def entry(*lines):
    body = "\n".join(f"  {line}" for line in lines)
    return f"ENTRY %main (x: f32[8]) -> f32[8] {{\n{body}\n}}\n"


def computation(name, *lines):
    body = "\n".join(f"  {line}" for line in lines)
    return f"%{name} (x: f32[8]) -> f32[8] {{\n{body}\n}}\n\n"


def fusion(cycles, name="f"):
    return f'%{name} = f32[8] fusion(%x), backend_config={{"estimated_cycles":"{cycles}"}}'


def loop(name, trips, *lines):
    """Computations of a loop of so many iterations, and the line that runs it."""
    condition = computation(
        f"{name}.until",
        f"%n = s32[] constant({trips})",
        "ROOT %less = pred[] compare(%i, %n), direction=LT",
    )
    call = f"%{name} = f32[8] while(%x), condition=%{name}.until, body=%{name}.body"
    return condition + computation(f"{name}.body", *lines), call


def test_loops_within_loops_multiply():
    inner, call_inner = loop("inner", 5, fusion(3))
    outer, call_outer = loop("outer", 4, fusion(10), call_inner)
    assert hlo.read(inner + outer + entry(fusion(7), call_outer)).cycles == 7 + 4 * (10 + 5 * 3)


def test_an_iteration_counts_inner_loops_in_full():
    inner, call_inner = loop("inner", 5, fusion(3))
    outer, call_outer = loop("outer", 4, fusion(10), call_inner)
    program = inner + outer + entry(fusion(7), call_outer)
    assert hlo.read(program, one_iteration=True).cycles == 10 + 5 * 3


@pytest.mark.parametrize(
    "branches",
    [
        "branch_computations={%a, %b}",
        "true_computation=%a, false_computation=%b",
    ],
)
def test_all_branches_of_a_conditional_count(branches):
    program = computation("a", fusion(2)) + computation("b", fusion(5))
    line = f"%c = f32[8] conditional(%p, %x, %x), {branches}"
    assert hlo.read(program + entry(line)).cycles == 7


def test_a_call_counts_once_each_time():
    program = computation("a", fusion(2))
    calls = [f"%c{n} = f32[8] call(%x), to_apply=%a" for n in range(3)]
    assert hlo.read(program + entry(*calls)).cycles == 6


KERNEL = (
    '%k = f32[8] custom-call(%x), custom_call_target="tpu_custom_call", backend_config='
    '{{"custom_call_config":{{"cost_estimate":{{"flops":"{flops}","transcendentals":"0",'
    '"bytes_accessed":"{size}"}}}}}}'
)


def test_kernels_state_their_cost_by_call():
    body, call = loop("l", 3, KERNEL.format(flops=100, size=64))
    cost = hlo.read(body + entry(call, KERNEL.format(flops=7, size=9)))
    assert cost.kernels == 4
    assert sorted(cost.kernel_costs) == [(1, 7, 9), (3, 100, 64)]


def test_a_kernel_without_a_cost_is_counted_only():
    line = '%k = f32[8] custom-call(%x), custom_call_target="tpu_custom_call"'
    cost = hlo.read(entry(line, '%h = f32[8] custom-call(%x), custom_call_target="Sharding"'))
    assert (cost.kernels, cost.kernel_costs) == (1, ())


@pytest.mark.parametrize("op", ["all-gather", "all-reduce", "all-to-all", "collective-permute"])
def test_each_type_of_collective_is_added_up(op):
    line = f"%g = bf16[4,8]{{1,0}} {op}(%x), channel_id=1"
    started = f"%s = (bf16[4,8], bf16[4,8]) {op}-start(%x), channel_id=1"
    done = f"%d = bf16[4,8] {op}-done(%s)"
    assert hlo.read(entry(line, started, done)).collectives == {op: (2, 2 * 64, 0)}


def test_the_largest_values_come_first_and_are_few():
    lines = [f"%v{n} = f32[{n}]{{0}} fusion(%x)" for n in range(1, 30)]
    cost = hlo.read(entry(*lines), largest=3)
    assert [value.bytes for value in cost.values] == [116, 112, 108]
    assert [value.shape for value in cost.values] == ["f32[29]", "f32[28]", "f32[27]"]


def test_values_on_chip_and_views_are_no_memory():
    lines = [
        "%a = f32[100]{0:T(1024)S(1)} fusion(%x)",
        "%b = f32[100]{0} bitcast(%x)",
        "%c = (f32[100]) tuple(%x)",
        "%d = f32[100]{0} get-tuple-element(%c), index=0",
    ]
    assert hlo.read(entry(*lines)).values == ()


def test_an_empty_text_costs_nothing():
    cost = hlo.read("HloModule nothing\n")
    assert (cost.cycles, cost.kernels, cost.collectives, cost.values) == (0, 0, {}, ())
