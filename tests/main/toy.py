"""A verb small enough to see through."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Literal

CALLS = []


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """A body.

    Args:
      layers: How many.
      kind: Which family.
      vocab_size: Ids.
    """

    layers: int
    kind: Literal["round", "square"] = "round"
    vocab_size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy:
    """How to draw.

    Args:
      temperature: Divides the logits,
        and 0 takes the likeliest.
    """

    temperature: float = 0.8
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folder:
    """A directory."""

    path: str
    weight: float = 1.0


class Reader:
    """Reads."""

    def __init__(self, cache_dir: pathlib.Path | str, *, batch_size: int, seed: int = 0):
        """Opens.

        Args:
          cache_dir: Where.
          batch_size: Rows.
          seed: Of the order.
        """
        self.cache_dir, self.batch_size, self.vocab_size = cache_dir, batch_size, 77


def work(
    *,
    rows: Reader,
    shape: Shape,
    output: str,
    policy: Policy = Policy(temperature=0.2),
    extra: Policy | None = None,
    sources: Mapping[str, Folder | str] = dataclasses.field(default_factory=dict),
    ks: Sequence[int] = (1, 10),
    rate: float = 0.5,
    name: str | None = None,
    watch: bool = False,
    operative_config: str = "",
) -> None:
    """Does the work.

    Longer talk.

    Args:
      rows: What is read.
      output: Where it goes.
      rate: How fast.

    Raises:
      InputError: never.
    """
    CALLS.append(dict(locals()))
