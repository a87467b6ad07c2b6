"""DecoderConfig: the frozen description from which a decoder is built, sharded and saved."""

import dataclasses
from typing import Any, Literal

from codex_jax import InputError, ranges
from codex_jax.ranges import Range, integer, real

_POSITIVE = real(0, excludes_low=True)
_RANGES: dict[str, Range] = {
    **dict.fromkeys(("vocab_size", "layers", "width", "heads"), integer(1)),
    **dict.fromkeys(("max_length", "vocab_multiple"), integer(1)),
    **dict.fromkeys(("kv_heads", "head_size", "mlp_size", "rotary_size", "window"), integer(0)),
    "rotary_original_length": integer(0),
    **dict.fromkeys(("norm_eps", "rotary_base", "rotary_factor", "rotary_slow"), _POSITIVE),
    **dict.fromkeys(("rotary_fast", "rotary_magnitude"), _POSITIVE),
}

GATED = ("swiglu", "geglu", "geglu_exact")
ACTIVATIONS = ("gelu", "gelu_exact", "quick_gelu", *GATED)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """A decoder of the GPT-3/Codex family (the defaults), or of Llama's, GPT-NeoX's or GPT-J's.

    Args:
      vocab_size: Ids of the tokenizer (V).
      layers: Blocks in the stack.
      width: Size of the residual stream (D).
      heads: Query heads (N).
      kv_heads: Key/value heads (K), shared by groups of query heads; 0 means as many as heads.
      head_size: Size of one head (H); 0 means width / heads.
      mlp_size: Hidden size of the MLP (F); 0 means 4 × width.
      max_length: Positions that a learned table holds, and the longest sequence allowed.
      norm: "layernorm" or "rmsnorm".
      norm_eps: Added to the variance under the root.
      positions: "learned" (a table) or "rotary" (RoPE, half-split pairs).
      rotary_base: Base of the rotary angles.
      rotary_size: Numbers of a head that are rotated, its first; 0 means all.
      rotary_scaling: "none", "linear", "yarn" or "llama3"; see the module `rotary_scaling`.
      rotary_factor: How many times longer scaling makes the texts.
      rotary_original_length: Longest text before scaling, in tokens (yarn, llama3).
      rotary_slow: Rotations within the original length below which a frequency is scaled in full.
      rotary_fast: Rotations from which on a frequency isn't scaled.
      rotary_magnitude: Multiplies rotated queries and keys (yarn's attention factor).
      window: Tokens that a token sees, itself and those before it; 0 means all.
      residual: "sequential"; "parallel" if attention and MLP read the same input (GPT-NeoX);
        "shared" if they also share its norm (GPT-J).
      activation: "gelu" (tanh form, as GPT-2), "gelu_exact" or "quick_gelu"; or, with a gate,
        "swiglu", "geglu" (tanh form, as Gemma) or "geglu_exact".
      bias: Whether projections carry a bias (layer norms of the GPT family always do).
      qkv_bias: Whether the q, k, v projections carry a bias (Qwen2), also without `bias`.
      out_bias: Whether attention's last projection does.
      mlp_bias: Whether the MLP's projections do (GPT-J).
      qk_norm: Whether queries and keys are normalized in each head (Qwen3).
      unembedding_bias: Whether logits get a bias (GPT-J); such a model can't be trained.
      tied: Whether the unembedding is the embedding, transposed.
      vocab_multiple: The embedding's rows are padded up to this multiple, so that they shard.
    """

    vocab_size: int
    layers: int
    width: int
    heads: int
    kv_heads: int = 0
    head_size: int = 0
    mlp_size: int = 0
    max_length: int = 2048
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    norm_eps: float = 1e-5
    positions: Literal["learned", "rotary"] = "learned"
    rotary_base: float = 10_000.0
    rotary_size: int = 0
    rotary_scaling: Literal["none", "linear", "yarn", "llama3"] = "none"
    rotary_factor: float = 1.0
    rotary_original_length: int = 0
    rotary_slow: float = 1.0
    rotary_fast: float = 32.0
    rotary_magnitude: float = 1.0
    window: int = 0
    residual: Literal["sequential", "parallel", "shared"] = "sequential"
    activation: Literal["gelu", "gelu_exact", "quick_gelu", "swiglu", "geglu", "geglu_exact"] = (
        "gelu"
    )
    bias: bool = True
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    unembedding_bias: bool = False
    tied: bool = True
    vocab_multiple: int = 128

    def __post_init__(self):
        ranges.check("DecoderConfig", self, _RANGES)
        derived = {
            "kv_heads": self.heads,
            "head_size": self.width // max(self.heads, 1),
            "mlp_size": 4 * self.width,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, getattr(self, name) or value)
        object.__setattr__(self, "rotary_size", self.rotary_size or self.head_size)
        self._check()

    def _check(self) -> None:
        ranges.check("DecoderConfig", self, {"head_size": integer(1)})
        choices = {
            "norm": ("layernorm", "rmsnorm"),
            "positions": ("learned", "rotary"),
            "residual": ("sequential", "parallel", "shared"),
            "rotary_scaling": ("none", "linear", "yarn", "llama3"),
            "activation": ACTIVATIONS,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                choice = " or ".join(map(repr, allowed))
                raise InputError(
                    f"DecoderConfig.{name} is {getattr(self, name)!r}; expected {choice}"
                )
        if self.heads % self.kv_heads:
            raise InputError(
                f"DecoderConfig.heads is {self.heads}, which {self.kv_heads} kv_heads don't divide"
            )
        if self.positions == "rotary" and (
            self.rotary_size % 2 or not 0 < self.rotary_size <= self.head_size
        ):
            raise InputError(
                f"DecoderConfig.rotary_size is {self.rotary_size}; expected an even number of at "
                f"most head_size, {self.head_size}"
            )
        if self.rotary_scaling in ("yarn", "llama3") and self.rotary_original_length < 1:
            raise InputError(
                f"DecoderConfig.rotary_original_length is {self.rotary_original_length}; expected "
                f"the length before {self.rotary_scaling} scaling"
            )

    @property
    def is_gated(self) -> bool:
        """Whether the MLP has a gate."""
        return self.activation in GATED

    @property
    def padded_vocab(self) -> int:
        """Rows of the embedding: vocab_size rounded up to vocab_multiple."""
        return -(-self.vocab_size // self.vocab_multiple) * self.vocab_multiple

    @property
    def non_embedding_params(self) -> int:
        """Number of weights in the blocks' matrices, by which scaling papers name models."""
        attention = self.width * self.head_size * 2 * (self.heads + self.kv_heads)
        matrices = 3 if self.is_gated else 2
        return self.layers * (attention + matrices * self.width * self.mlp_size)

    def flops_per_token(self, length: int) -> float:
        """FLOPs of a training token, forward and backward, without rematerialization.

        6 per matrix weight (unembedding included, embedding look-up not), and 12·L·N·H·T/2 for
        attention: causal, so half of the T × T scores (as PaLM's appendix B, halved).
        """
        weights = self.non_embedding_params + self.vocab_size * self.width
        return 6.0 * weights + 6.0 * self.layers * self.heads * self.head_size * length

    def to_json(self) -> dict[str, Any]:
        """The config as a JSON object."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "DecoderConfig":
        """Builds a config from `to_json`'s object.

        Raises:
          InputError: a field that this version lacks.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(fields) - names):
            raise InputError(
                f"model config has {', '.join(unknown)}, unknown to this codex_jax; upgrade it"
            )
        return cls(**fields)
