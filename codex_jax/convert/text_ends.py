"""Tokens that begin and end a text, from the several files in which a foreign model has them."""

import json
from collections.abc import Mapping
from typing import Any

from codex_jax import InputError
from codex_jax.convert.tokenizer_settings import token_text
from codex_jax.convert.tokenizers import ForeignTokenizer


def read_eos_ids(
    config: Mapping[str, Any], generation: Mapping[str, Any], foreign: ForeignTokenizer
) -> list[int]:
    """Every id that ends a text, without duplicates.

    They are eos_token_id of the config and of generation_config.json, a number or a list of them,
    and the tokenizer's eos_token.

    Raises:
      InputError: an eos_token_id that is something else.
    """
    ids: list[int] = []
    for where, fields in (("config.json", config), ("generation_config.json", generation)):
        value = fields.get("eos_token_id")
        values = value if isinstance(value, list) else [] if value is None else [value]
        if not all(type(number) is int for number in values):
            raise InputError(f"{where} has eos_token_id = {value!r}; expected token ids")
        ids += values
    text = token_text(foreign.settings.get("eos_token"))
    if text is not None and (number := foreign.ids().get(text)) is not None:
        ids.append(number)
    return list(dict.fromkeys(ids))


def read_begin_ids(foreign: ForeignTokenizer) -> list[int]:
    """The tokens in front of every text: add_bos_token's, or the post-processor's without it.

    Raises:
      InputError: a begin token without an id, or tokens that the post-processor puts behind a text.
    """
    if foreign.settings.get("add_eos_token"):
        raise InputError(
            "tokenizer_config.json has add_eos_token, which no prompt of ours has; set it to false"
        )
    wants_bos, bos = (foreign.settings.get(name) for name in ("add_bos_token", "bos_token"))
    if wants_bos is False:
        return []
    if wants_bos:
        number = foreign.ids().get(token_text(bos) or "")
        if number is None:
            raise InputError(
                f"tokenizer_config.json has add_bos_token and bos_token = {bos!r}, which is no "
                "token; set bos_token to one"
            )
        return [number]
    return _read_template(json.loads(foreign.text).get("post_processor") or {})


def _read_template(processor: Mapping[str, Any]) -> list[int]:
    """Ids that a post-processor puts in front of a text.

    Raises:
      InputError: it puts others behind the text.
    """
    ids: list[int] = []
    for step in processor.get("processors", [processor]):
        if step and step.get("type") not in ("TemplateProcessing", "ByteLevel"):
            raise InputError(
                f"tokenizer.json's post_processor is {step.get('type')}; expected "
                "TemplateProcessing or ByteLevel"
            )
        is_before = True
        for item in step.get("single", []):
            if "Sequence" in item:
                is_before = False
                continue
            name = item["SpecialToken"]["id"]
            if not is_before:
                raise InputError(
                    f"tokenizer.json's post_processor puts {name} behind every text, as no prompt "
                    "of ours has it; remove it"
                )
            ids += step["special_tokens"][name]["ids"]
    return ids
