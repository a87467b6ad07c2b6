"""An opened foreign checkpoint."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class ForeignCheckpoint(NamedTuple):
    """A foreign checkpoint whose weights are read by name."""

    family: str
    config: dict[str, Any]
    read_tensor: Callable[[str], np.ndarray]
    tokens: list[str]  # in GPT-2's byte alphabet, in the order of ids
    special: set[int]
    pattern: str  # splits text into words
