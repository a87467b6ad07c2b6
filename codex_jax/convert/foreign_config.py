"""A foreign config that remembers which of its keys were read, so that others can be refused."""

from collections.abc import Mapping
from typing import Any

from codex_jax import InputError
from codex_jax.convert.families.table import ANY, Family

# Keys that concern training, generation, other heads or the file itself, and no logits.
_METADATA = {
    "_attn_implementation",
    "_flash_attn_2_enabled",
    "_name_or_path",
    "architectures",
    "attn_implementation",
    "begin_suppress_tokens",
    "bos_token_id",
    "chunk_size_feed_forward",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "id2label",
    "initializer_range",
    "is_decoder",
    "label2id",
    "length_penalty",
    "max_length",
    "min_length",
    "model_type",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "pad_token_id",
    "prefix",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unk_token_id",
    "use_bfloat16",
    "use_cache",
    "use_flash_attn",
    "bad_words_ids",
}
# Values of others that change nothing.
_HARMLESS: dict[str, Any] = {
    "add_cross_attention": (False,),
    "is_encoder_decoder": (False,),
    "pruned_heads": ({},),
    "tie_encoder_decoder": (False,),
    "tie_word_embeddings": (True, False),  # the heads' weights decide, where no field reads it
}
_METADATA_ENDS = ("dropout", "_pdrop", "dropout_prob")
_METADATA_STARTS = ("summary_", "general.", "tokenizer.", "GGUF.", "quantize.", "split.")


class ForeignConfig:
    """A family's config; `get` marks a key as read."""

    def __init__(self, family: str, table: Family, values: Mapping[str, Any]):
        self._family, self._table, self._values = family, table, dict(values)
        self._read: set[str] = set()
        for alias, name in table.aliases.items():
            self._rename(alias, name)

    def _rename(self, alias: str, name: str) -> None:
        value = self._values.pop(alias, None)
        if value is not None and self._values.setdefault(name, value) != value:
            raise InputError(
                f"config has {alias} = {value!r} and {name} = {self._values[name]!r}, two names "
                "of one number; remove one"
            )

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str) -> Any:
        """The value of a key, or the family's default."""
        self._read.add(name)
        return self._values.get(name, self._table.defaults.get(name))

    def check_unread(self) -> None:
        """Refuses keys that nothing has read, unless their values change nothing.

        Raises:
          InputError: names all such keys.
        """
        unread = [
            f"{name} = {str(value)[:60]}"
            for name, value in sorted(self._values.items())
            if name not in self._read and not self._is_harmless(name, value)
        ]
        if unread:
            raise InputError(
                f"config has {'; '.join(unread)}, which our {self._family} doesn't compute; "
                "import another model"
            )

    def _is_harmless(self, name: str, value: Any) -> bool:
        if value is None or name in _METADATA:
            return True
        if name.endswith(_METADATA_ENDS) or name.startswith(_METADATA_STARTS):
            return True
        allowed = self._table.harmless.get(name, _HARMLESS.get(name, ()))
        return allowed is ANY or value in allowed
