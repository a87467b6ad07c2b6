import json

import pytest

from codex_jax import InputError
from codex_jax.convert.text_ends import read_begin_ids, read_eos_ids
from codex_jax.convert.tokenizers import ForeignTokenizer
from codex_jax.tokenizer.formats import to_hugging_face
from tests.convert.small_tokenizer import small_tokenizer


def foreign(settings=None, **changes):
    return ForeignTokenizer(json.dumps(small_tokenizer(**changes)), settings or {})


@pytest.mark.parametrize(
    ("config", "generation", "settings", "expected"),
    [
        ({"eos_token_id": 7}, {}, {}, [7]),
        ({"eos_token_id": [7, 8]}, {"eos_token_id": [8, 9]}, {}, [7, 8, 9]),
        ({"eos_token_id": None}, {"eos_token_id": 3}, {"eos_token": "<extra>"}, [3, 1]),
        ({}, {}, {"eos_token": {"content": "<|endoftext|>"}}, [0]),
        ({}, {}, {"eos_token": "<absent>"}, []),
    ],
)
def test_every_file_names_ends(config, generation, settings, expected):
    assert read_eos_ids(config, generation, foreign(settings)) == expected


@pytest.mark.parametrize("value", ["2", [1, None], True, 2.0])
def test_an_end_that_is_no_id_is_refused(value):
    with pytest.raises(InputError, match=r"generation_config\.json has eos_token_id"):
        read_eos_ids({}, {"eos_token_id": value}, foreign())


def template(*, behind=False):
    text = to_hugging_face({b"a": 0}, "a", [b"a", b"<extra>"], [1])
    processor = json.loads(text)["post_processor"]
    if behind:
        processor["single"].reverse()
    return processor


@pytest.mark.parametrize(
    ("settings", "processor", "expected"),
    [
        ({}, None, []),
        ({}, template(), [1]),
        ({}, {"type": "Sequence", "processors": [{"type": "ByteLevel"}, template()]}, [1]),
        ({"add_bos_token": False}, template(), []),
        ({"add_bos_token": True, "bos_token": "<|endoftext|>"}, None, [0]),
        ({"add_bos_token": True, "bos_token": {"content": "<extra>"}}, None, [1]),
        ({"add_bos_token": None, "bos_token": "<extra>"}, None, []),
        ({"bos_token": "<extra>"}, {"type": "ByteLevel"}, []),
    ],
)
def test_begin_tokens_of_settings_or_else_of_the_post_processor(settings, processor, expected):
    assert read_begin_ids(foreign(settings, post_processor=processor)) == expected


def test_what_no_prompt_of_ours_has_is_refused():
    with pytest.raises(InputError, match="puts <extra> behind every text"):
        read_begin_ids(foreign(post_processor=template(behind=True)))
    with pytest.raises(InputError, match="bos_token = '<absent>', which is no token"):
        read_begin_ids(foreign({"add_bos_token": True, "bos_token": "<absent>"}))
