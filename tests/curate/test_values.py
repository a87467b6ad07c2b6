"""Values by annotation, default and name."""

import ast
import random

import pytest

from codex_jax.curate.inputs import literals, values


def draw(signature: str, count: int = 200) -> list:
    arguments = ast.parse(f"def f({signature}): pass").body[0].args
    default = arguments.defaults[0] if arguments.defaults else None
    rng = random.Random(0)
    make = values.maker(arguments.args[0], default)[0]
    return [make(rng, 0) for _ in range(count)]


@pytest.mark.parametrize(
    ("signature", "types"),
    [
        ("x: int", {int}), ("x: 'str'", {str}), ("x: float", {float}), ("x: bytes", {bytes}),
        ("x: bool", {bool}), ("x: Optional[int]", {int}), ("x: int | None", {int}),
        ("x: Union[int, str]", {int, str}), ("x: typing.List[int]", {list}),
        ("x: Mapping[str, int]", {dict}), ("x: tuple[int, str]", {tuple}),
        ("x: tuple[int, ...]", {tuple}), ("x: FrozenSet[list]", {frozenset}), ("x: set", {set}),
        ("x: Literal['a', 2]", {str, int}), ("x=3", {int}), ("x='a'", {str}),
        ("is_open", {bool}), ("count", {int}), ("text", {str}), ("matrix", {list}),
        ("options", {dict}), ("ratio", {float}), ("sep", {str}), ("words", {list}),
    ],
)  # fmt: skip
def test_types_follow_the_parameter(signature, types):
    assert {type(value) for value in draw(signature)} == types


def test_inner_types_follow_too():
    assert all(
        type(k) is str and type(v) is int for d in draw("x: Dict[str, int]") for k, v in d.items()
    )
    assert all([type(i) for i in t] == [int, str] for t in draw("x: Tuple[int, str]"))
    assert set(draw("x: Literal['a', 2]")) == {"a", 2}


def test_every_value_is_plain_and_more_than_one_type_is_tried_without_a_hint():
    assert all(map(literals.is_plain, draw("x: dict[list[int], Any]")))
    arguments = ast.parse("def f(qqq): pass").body[0].args
    assert len(values.maker(arguments.args[0], None)) > 3
    assert len(values.maker(ast.parse("def f(x: Node): pass").body[0].args.args[0], None)) > 3
