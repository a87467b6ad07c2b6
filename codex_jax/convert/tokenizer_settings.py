"""A tokenizer.json as transformers changes it by the settings beside it, tokenizer_config.json."""

import json
from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken, Tokenizer

from codex_jax import InputError
from codex_jax.tokenizer.library import load_engine

# Settings that name special tokens.
_NAMES = [f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")]
# Classes whose pre-tokenizer obeys add_prefix_space, False where it is missing.
_PREFIX_CLASSES = ("GPT2Tokenizer", "GPTNeoXTokenizer", "CodeGenTokenizer")
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized")


def token_text(value: Any) -> str | None:
    """The text of a setting's token, which is a string or an object with its content."""
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else None


def apply_settings(text: str, settings: Mapping[str, Any]) -> str:
    """The tokenizer.json, changed by its settings.

    Raises:
      InputError: a file that can't be read, or a setting that contradicts it.
    """
    engine = load_engine(text)
    fields = json.loads(text)
    if fields["model"].get("dropout"):
        raise InputError(
            f"tokenizer.json drops merges at random (dropout = {fields['model']['dropout']}); "
            "set its model.dropout to null"
        )
    changed = _apply_prefix_space(fields, settings)
    if changed is not fields:
        engine = load_engine(json.dumps(changed, ensure_ascii=False))
    before = repr(engine.get_added_tokens_decoder())
    _add_tokens(engine, settings)
    if changed is fields and repr(engine.get_added_tokens_decoder()) == before:
        return text
    return engine.to_str()


def _apply_prefix_space(fields: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with the settings' add_prefix_space.

    Raises:
      InputError: a setting that contradicts a pre-tokenizer which transformers rebuilds.
    """
    expected = settings.get("add_prefix_space")
    pre_tokenizer = fields.get("pre_tokenizer") or {}
    if pre_tokenizer.get("type") == "ByteLevel":
        name = str(settings.get("tokenizer_class")).removesuffix("Fast")
        if expected is None and name in _PREFIX_CLASSES:
            expected = False
        if expected is None or pre_tokenizer.get("add_prefix_space") == expected:
            return fields
        return fields | {"pre_tokenizer": pre_tokenizer | {"add_prefix_space": expected}}
    if expected is not None and expected != _has_prefix_space(fields):
        raise InputError(
            f"tokenizer_config.json has add_prefix_space = {expected}, which its tokenizer.json "
            "contradicts; make them agree"
        )
    return fields


def _has_prefix_space(fields: Mapping[str, Any]) -> bool:
    steps = []
    for component, name in (("normalizer", "normalizers"), ("pre_tokenizer", "pretokenizers")):
        step = fields.get(component) or {}
        steps += step.get(name, [step])
    return any(
        step.get("add_prefix_space") is True
        or step.get("type") == "Prepend"
        or step.get("prepend_scheme") in ("first", "always")
        for step in steps
    )


def _add_tokens(engine: Tokenizer, settings: Mapping[str, Any]) -> None:
    """Adds the tokens that the settings list, and the special ones that they name.

    Raises:
      InputError: a listed token with another id in the tokenizer.json.
    """
    named = [token_text(settings.get(name)) for name in _NAMES]
    named += map(token_text, settings.get("additional_special_tokens") or [])
    special = [text for text in named if text]
    listed = settings.get("added_tokens_decoder") or {}
    for number, fields in sorted(listed.items(), key=lambda item: int(item[0])):
        content = fields["content"]
        flags: dict[str, bool] = {name: fields[name] for name in _FLAGS if name in fields}
        is_special = bool(fields.get("special")) or content in special
        engine.add_tokens([AddedToken(content, special=is_special, **flags)])
        if engine.token_to_id(content) != int(number):
            raise InputError(
                f"tokenizer_config.json has token {number} = {content!r}, in tokenizer.json it is "
                f"{engine.token_to_id(content)}; make them agree"
            )
    present = {token.content for token in engine.get_added_tokens_decoder().values()}
    engine.add_tokens([AddedToken(text, special=True) for text in special if text not in present])
