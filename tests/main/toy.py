"""A command small enough to see through."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

CALLS = []


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """A body.

    Args:
      layers: How many.
      family: Round or square.
      vocab_size: Ids.
    """

    layers: int
    family: Literal["round", "square"] = "round"
    vocab_size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy:
    """Sampling settings.

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
        self.cache_dir, self.batch_size, self.seed = cache_dir, batch_size, seed
        self.vocab_size = 77


def work(
    *,
    rows: Reader,
    shape: Shape,
    output: str,
    policy: Policy = Policy(temperature=0.2),
    extra: Policy | None = None,
    sources: Mapping[str, Folder | str | Sequence[Any]] = dataclasses.field(default_factory=dict),
    ks: Sequence[int] = (1, 10),
    names: Sequence[str] = (),
    rate: float = 0.5,
    name: str | None = None,
    watch: bool = False,
    operative_config: str = "",
) -> None:
    """Does the work.

    Longer talk.

    Args:
      rows: The rows.
      shape: The body.
      output: Where it goes.
      policy: How to draw.
      extra: A second policy.
      sources: Folders by name.
      ks: Numbers.
      names: Its names.
      rate: How fast.
      name: A name.
      watch: Whether to watch.
      operative_config: The configuration.

    Raises:
      InputError: never.
    """
    CALLS.append(dict(locals()))
