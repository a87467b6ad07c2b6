"""MBPP+ as EvalPlus publishes it: what its JSON can't say of inputs, and whose answers are free.

A form spells a value from outside in: t a tuple, l a list, d a dict's values, T tuples all the way
down, s sets but where empty, f a float, c a complex number, - what it is. A problem's forms are
those of its arguments, a single one is that of all.
"""

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
_ORACLES = {  # see `compare`; here the functions asked for
    "any order": "similar_elements find_char_long common_in_nested_lists extract_singly larg_nnum "
    "intersection_array find_dissimilar Diff",
    "a match": "check_str text_match_three text_starta_endb",
    "anything": "are_equivalent",
    "or zero": "sum_div",
    "padded digits": "digit_distance_nums",
    "upright pyramid": "surface_Area",
}
# A match can't leave the sandbox; whether there is one can.
_MATCHED = """
_codex_jax_asked = {0}
def {0}(*given):
    found = _codex_jax_asked(*given)
    return found if isinstance(found, bool) else found is not None
"""


def completed(fields: dict[str, Any], _: str) -> dict[str, Any]:
    """The published row, with `forms`, `oracle` and what follows the program, where it has them."""
    forms = _of(_FORMS, str(fields["task_id"]).rpartition("/")[2])
    oracle = _of(_ORACLES, fields["entry_point"])
    suffix = _MATCHED.format(fields["entry_point"]) if oracle == "a match" else ""
    found = {"forms": forms.split(), "oracle": oracle, "suffix": suffix}
    return fields | {name: value for name, value in found.items() if value}


def _of(table: dict[str, str], wanted: str) -> str:
    return next((name for name, listed in table.items() if wanted in listed.split()), "")


def inputs(extra: dict[str, Any]) -> list[list[Any]]:
    """The arguments of each call, of the types they were before they became JSON."""
    given = [*extra.get("base_input", []), *extra["plus_input"]]
    forms = extra.get("forms") or ["-"]
    return [
        [shaped(value, forms[min(place, len(forms) - 1)]) for place, value in enumerate(arguments)]
        for arguments in given
    ]


def shaped(value: Any, form: str) -> Any:
    kind, inner = form[:1], form if form == "T" else form[1:]
    if kind == "c":
        return complex(value)
    if kind == "f":
        return float(value)
    if kind == "d":
        return {name: shaped(held, inner) for name, held in value.items()}
    if kind == "s":
        return set(value) if value else {}
    if kind in ("", "-") or not isinstance(value, list):
        return value
    held = [shaped(one, inner) for one in value]
    return held if kind == "l" else tuple(held)
