"""An opened foreign checkpoint, and weights that remember which of them were read."""

import re
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np

from codex_jax import InputError
from codex_jax.convert.tokenizers import ForeignTokenizer

# Buffers that a model computes itself: causal masks and rotary frequencies.
_BUFFERS = re.compile(r"(^|\.)(attn|attention)\.(masked_)?bias$|rotary_emb\.inv_freq$")
_EMBEDDINGS = {
    "lm_head.weight": ("model.embed_tokens.weight", "wte.weight", "transformer.wte.weight"),
    "embed_out.weight": ("gpt_neox.embed_in.weight",),
    "output.weight": ("token_embd.weight",),
}


class ForeignWeights:
    """Tensors by name; `read_tensor` marks a tensor as read."""

    def __init__(self, where: str, names: Collection[str], read: Callable[[str], np.ndarray]):
        self.names, self._where, self._read_array = frozenset(names), where, read
        self._read: set[str] = set()

    def read_tensor(self, name: str) -> np.ndarray:
        """A tensor, by the name in our tables.

        Raises:
          InputError: there is none, or it has values that no model computes with.
        """
        neox_name = "embed_out.weight" if name == "lm_head.weight" else name
        bare_name = re.sub(r"^(model|gpt_neox)\.", "", name)
        for candidate in (name, f"transformer.{name}", neox_name, bare_name):
            if candidate in self.names:
                self._read.add(candidate)
                tensor = self._read_array(candidate)
                self._check_finite(candidate, tensor)
                return tensor
        raise InputError(f"{self._where}: no tensor {name}; expected one, as its config says")

    def _check_finite(self, name: str, tensor: np.ndarray) -> None:
        with np.errstate(over="ignore"):
            finite = np.isfinite(tensor.astype(np.float32, copy=False))
        if count := tensor.size - np.count_nonzero(finite):
            raise InputError(
                f"{self._where}: {count} of the {tensor.size} values of {name} are NaN or infinite "
                "in float32; expected numbers; download it again"
            )

    def check_unread(self) -> None:
        """Refuses tensors that nothing has read, except masks and copies of the embedding.

        Raises:
          InputError: names such tensors.
        """
        unread = [name for name in sorted(self.names - self._read) if not self._is_harmless(name)]
        if unread:
            more = f" and {len(unread) - 3} more" if len(unread) > 3 else ""
            raise InputError(
                f"{self._where}: its tensors {', '.join(unread[:3])}{more} are read by no row of "
                "its family's table, so logits would differ; import another model"
            )

    def _is_harmless(self, name: str) -> bool:
        if _BUFFERS.search(name):
            return True
        return any(
            embedding in self.names
            and np.array_equal(self._read_array(name), self._read_array(embedding))
            for embedding in _EMBEDDINGS.get(name, ())
        )


class ForeignCheckpoint(NamedTuple):
    """A foreign checkpoint."""

    family: str
    config: dict[str, Any]
    weights: ForeignWeights
    tokenizer: ForeignTokenizer
    eos_ids: list[int]
    generation: dict[str, Any]  # its generation_config.json
