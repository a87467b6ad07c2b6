"""The card of a checkpoint: the model, the tokenizer, the data and the run that it belongs to."""

import dataclasses
import json
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """Description of a checkpoint.

    `run` holds the settings that a resumed run must share (batch size, seed, optimizer, steps).
    `eos_ids` end a text and `begin_ids` begin one, where an imported model has its own; empty and
    None are the tokenizer's end of text, as in our training documents. `origin` holds an imported
    model's family and its fields that an export writes again.
    `checksums` holds those of its arrays, by name; `changes` the settings that were changed on the
    way, with the step from which on; `validation_losses` pairs of step and loss.
    `low_rank` describes parameters that are low-rank updates of another checkpoint's: its factor,
    its dtype, and the `base`: directory, step and hash.
    """

    model: dict[str, Any]
    step: int = 0
    tokenizer_hash: str = ""
    data_fingerprint: str = ""
    run: dict[str, Any] = dataclasses.field(default_factory=dict)
    operative_config: str = ""
    eos_ids: list[int] = dataclasses.field(default_factory=list)
    begin_ids: list[int] | None = None
    origin: dict[str, Any] = dataclasses.field(default_factory=dict)
    changes: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    checksums: dict[str, int] = dataclasses.field(default_factory=dict)
    validation_losses: list[list[Any]] = dataclasses.field(default_factory=list)
    low_rank: dict[str, Any] = dataclasses.field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """Returns name → value of what a run shares: "model.width", "run.seed"."""
        return {
            **{f"model.{name}": value for name, value in self.model.items()},
            **{f"run.{name}": value for name, value in self.run.items()},
            "tokenizer_hash": self.tokenizer_hash,
            "data_fingerprint": self.data_fingerprint,
        }

    def differences(self, other: "Card") -> list[str]:
        """Settings that differ, as "name: value, the other card's value"."""
        fields, others = self.fields(), other.fields()
        return [
            f"{name}: {fields.get(name)!r}, {others.get(name)!r}"
            for name in sorted(fields.keys() | others.keys())
            if fields.get(name) != others.get(name)
        ]


# Field → the type of its value in JSON.
_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("model", "run", "origin", "checksums", "low_rank"), dict),
    **dict.fromkeys(("tokenizer_hash", "data_fingerprint", "operative_config"), str),
    "step": int,
    "eos_ids": list,
    "changes": list,
    "validation_losses": list,
    "begin_ids": (list, type(None)),
}


def parse_card(text: str) -> Card:
    """Reads a card from its JSON.

    Raises:
      ValueError: it isn't a card's.
    """
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("its card isn't JSON") from None
    if not isinstance(fields, dict) or "model" not in fields:
        raise ValueError("its card has no model")
    for name, value in fields.items():
        expected = _TYPES.get(name)
        if expected is None:
            raise ValueError(f"its card has a field {name!r}, which this version doesn't know")
        if not isinstance(value, expected) or isinstance(value, bool):
            raise ValueError(f"its card's {name} is {value!r:.40}")
    return Card(**fields)
