"""MBPP+ as EvalPlus publishes it: the types that its JSON lost, and its special oracles.

A form describes a value from the outside in: t a tuple, l a list, d the values of a dict, T nested
tuples at every depth, s a set unless empty, f a float, c a complex number, - any other value. A
problem has a form for each argument; the last one also holds for all that follow.
"""

from collections.abc import Callable
from typing import Any

_FORMS = {
    "t": "2 116 132 143 222 261 273 394 399 421 424 429 470 560 579 596 616 630 726 740 744 809",
    "lt": "63 64 70 94 120 237 272 299 400 409 417 438 473 614 780",
    "lt -": "75 413 444 753",
    "- t": "106 750",
    "ls": "115",
    "f c": "124",
    "t -": "250 405 446 617 720 763 808",
    "c": "252",
    "tt": "259 278 401 445",
    "t - -": "307",
    "T": "580 615 791",
    "dt -": "722",
}
_ORACLES = {  # the comparisons of judging/oracles.py, and the entry points that they apply to
    "any order": "similar_elements find_char_long common_in_nested_lists extract_singly larg_nnum "
    "intersection_array find_dissimilar Diff",
    "a match": "check_str text_match_three text_starta_endb",
    "anything": "are_equivalent",
    "or zero": "sum_div",
    "padded digits": "digit_distance_nums",
    "upright pyramid": "surface_Area",
}
_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "c": complex,
    "f": float,
    "s": lambda items: set(items) if items else {},
}
# A match can't leave the sandbox; whether there is a match can.
_MATCH_TO_BOOL = """
_codex_jax_function = {0}
def {0}(*arguments):
    result = _codex_jax_function(*arguments)
    return result if isinstance(result, bool) else result is not None
"""


def with_oracle(fields: dict[str, Any], _: str) -> dict[str, Any]:
    """Returns the published row with its `forms`, `oracle` and `suffix`, where it has any."""
    forms = _lookup(_FORMS, str(fields["task_id"]).rpartition("/")[2])
    oracle = _lookup(_ORACLES, fields["entry_point"])
    suffix = _MATCH_TO_BOOL.format(fields["entry_point"]) if oracle == "a match" else ""
    additions = {"forms": forms.split(), "oracle": oracle, "suffix": suffix}
    return fields | {name: value for name, value in additions.items() if value}


def _lookup(table: dict[str, str], key: str) -> str:
    return next((name for name, keys in table.items() if key in keys.split()), "")


def call_arguments(extra: dict[str, Any]) -> list[list[Any]]:
    """Returns the arguments of each call, with the types that they had before JSON."""
    calls = [*extra.get("base_input", []), *extra["plus_input"]]
    forms = extra.get("forms") or ["-"]
    return [
        [restore_types(value, forms[min(i, len(forms) - 1)]) for i, value in enumerate(arguments)]
        for arguments in calls
    ]


def restore_types(value: Any, form: str) -> Any:
    """Returns the value with the types of its form."""
    head, inner = form[:1], form if form == "T" else form[1:]
    if head == "d":
        return {name: restore_types(item, inner) for name, item in value.items()}
    if head in _CONVERSIONS:
        return _CONVERSIONS[head](value)
    if head in ("", "-") or not isinstance(value, list):
        return value
    items = [restore_types(item, inner) for item in value]
    return items if head == "l" else tuple(items)
