import json

import pytest
import tokenizers

from codex_jax import InputError
from codex_jax.convert.tokenizer_settings import apply_settings, token_text
from tests.convert.small_tokenizer import BYTE_LEVEL, added_token, small_tokenizer


def apply(settings, **changes):
    text = json.dumps(small_tokenizer(**changes))
    applied = apply_settings(text, settings)
    return tokenizers.Tokenizer.from_str(applied), applied == text


def test_settings_that_change_nothing_leave_the_text_as_it_is():
    settings = {"eos_token": {"content": "<extra>"}, "pad_token": None, "model_max_length": 9}
    assert apply(settings | {"add_prefix_space": False})[1]


@pytest.mark.parametrize(
    ("setting", "in_file", "expected"),
    [
        ({"add_prefix_space": True}, False, True),
        ({"add_prefix_space": False}, True, False),
        ({"tokenizer_class": "GPT2TokenizerFast"}, True, False),  # the class's default
        ({"tokenizer_class": "PreTrainedTokenizerFast"}, True, True),
        ({}, True, True),
    ],
)
def test_a_byte_level_step_obeys_the_prefix_setting(setting, in_file, expected):
    engine, _ = apply(setting, pre_tokenizer=BYTE_LEVEL | {"add_prefix_space": in_file})
    assert (engine.encode("ab").tokens == ["Ġab"]) is expected


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [BYTE_LEVEL]}},
    ],
)
def test_a_prefix_setting_that_contradicts_the_steps_is_refused(changes):
    with pytest.raises(InputError, match="add_prefix_space = True, which"):
        apply({"add_prefix_space": True}, **changes)
    prepend = {"type": "Prepend", "prepend": "▁"}
    with pytest.raises(InputError, match="add_prefix_space = False"):
        apply({"add_prefix_space": False}, normalizer=prepend)


def test_tokens_of_the_settings_are_added():
    listed = {"0": added_token(0, "<|endoftext|>"), "261": added_token(261, "    ", special=False)}
    engine, is_same = apply({"added_tokens_decoder": listed, "eos_token": "<end>"})
    assert not is_same
    assert engine.encode("a    b").ids[1] == 261
    assert engine.token_to_id("<end>") == 262
    assert engine.get_added_tokens_decoder()[262].special
    assert not engine.get_added_tokens_decoder()[261].special


def test_contradictions_and_chance_are_refused():
    listed = {"270": added_token(270, "<late>")}
    with pytest.raises(InputError, match=r"token 270 = '<late>', in tokenizer\.json it is 261"):
        apply({"added_tokens_decoder": listed})
    with pytest.raises(InputError, match="drops merges at random"):
        apply({}, model=small_tokenizer()["model"] | {"dropout": 0.1})


def test_a_token_is_a_string_or_an_object():
    assert token_text("<s>") == token_text({"content": "<s>"}) == "<s>"
    assert token_text(None) is token_text({}) is token_text(3) is None
