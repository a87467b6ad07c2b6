"""Tables of foreign model families: their names for our fields and weights."""

from codex_jax.convert.families.gguf import GGUF_FAMILIES
from codex_jax.convert.families.gpt import GPT_FAMILIES
from codex_jax.convert.families.llama import LLAMA_FAMILIES

FAMILIES = GPT_FAMILIES | LLAMA_FAMILIES | GGUF_FAMILIES
