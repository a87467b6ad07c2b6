"""What can be set: parameters of a verb, and fields of the frozen descriptions they take.

Names, types and defaults come from signatures, the line of help from the docstring's Args.
"""

import dataclasses
import inspect
import re
import typing
from collections.abc import Callable
from typing import Any

from codex_jax.main import coercion, commands
from codex_jax.main.commands import Verb

REQUIRED = inspect.Parameter.empty

# Filled by main itself, and so no setting.
_FILLED = {"operative_config"}


@dataclasses.dataclass(frozen=True)
class Setting:
    """One parameter or field."""

    owner: str
    name: str
    hint: Any
    default: Any
    doc: str

    @property
    def key(self) -> str:
        return f"{self.owner}.{self.name}"

    @property
    def type_name(self) -> str:
        return re.sub(r"\b(?:\w+\.)+", "", inspect.formatannotation(self.hint))


@dataclasses.dataclass(frozen=True)
class Description:
    """A callable and its settings; `inner` names the description that a setting takes whole."""

    name: str
    make: Callable
    summary: str
    settings: dict[str, Setting]
    inner: dict[str, str]


def described(verb: Verb) -> dict[str, Description]:
    """The verb's own description first, then every one it reaches, by name."""
    found: dict[str, Description] = {}
    wired = {name: commands.load(wire.target) for name, wire in verb.wires.items()}
    _collect(verb.name, commands.load(verb.target), wired, found)
    return found


def _collect(name: str, make: Callable, wired: dict[str, Callable], found: dict) -> None:
    summary, docs = parse_docstring(inspect.getdoc(make) or "")
    hints = typing.get_type_hints(make.__init__ if inspect.isclass(make) else make)
    if inspect.isclass(make) and not docs:
        docs = parse_docstring(inspect.getdoc(make.__init__) or "")[1]
    settings, inner, classes = {}, {}, []
    for parameter in inspect.signature(make).parameters.values():
        if parameter.name in _FILLED:
            continue
        hint = hints.get(parameter.name, Any)
        doc = docs.get(parameter.name, "")
        settings[parameter.name] = Setting(name, parameter.name, hint, parameter.default, doc)
        reached = [wired[parameter.name]] if parameter.name in wired else dataclasses_in(hint)
        if reached and (parameter.name in wired or reached[0] in coercion.options(hint)):
            inner[parameter.name] = reached[0].__name__
        classes += reached
    found[name] = Description(name, make, summary, settings, inner)
    for cls in classes:
        if cls.__name__ not in found:
            _collect(cls.__name__, cls, {}, found)


def dataclasses_in(hint: Any) -> list[type]:
    """The dataclasses that a hint names, at any depth."""
    if dataclasses.is_dataclass(hint):
        return [hint]
    return [cls for part in typing.get_args(hint) for cls in dataclasses_in(part)]


def parse_docstring(doc: str) -> tuple[str, dict[str, str]]:
    """(everything before the first section as one paragraph, the Args by name)."""
    parts = re.split(r"^(Args|Returns|Yields|Raises):[ ]*\n", doc, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    entry = r"^  (\w+):[ ]*(.*(?:\n(?:    .*|$))*)"
    args = re.findall(entry, sections.get("Args", ""), flags=re.MULTILINE)
    return " ".join(parts[0].split()), {name: " ".join(text.split()) for name, text in args}
