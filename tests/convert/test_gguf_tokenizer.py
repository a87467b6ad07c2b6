import json

import pytest
from tokenizers import pre_tokenizers

from codex_jax import InputError
from codex_jax.convert.gguf_tokenizer import SPLITTERS, read_eos_ids, read_tokenizer
from codex_jax.convert.text_ends import read_begin_ids
from codex_jax.convert.tokenizers import make_tokenizer

TOKENS = ["<|endoftext|>", "<end>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
TOKENS += ["12", "Ġa", "    ", "[PAD261]"]
TYPES = [3, 3] + [1] * 258 + [4, 5]
SPLIT = "1234 don't  a\n\n 漢字\t\tX"


def keys(**changes):
    values = {"model": "gpt2", "pre": "gpt-2", "tokens": TOKENS, "token_type": TYPES}
    values |= {"merges": ["1 2", "Ġ a"], "bos_token_id": 0, "eos_token_id": 1} | changes
    fields = {f"tokenizer.ggml.{name}": value for name, value in values.items()}
    return fields | {"tokenizer.chat_template": "{{ messages }}"}


def read(**changes):
    foreign = read_tokenizer("m.gguf", keys(**changes))
    return make_tokenizer(foreign, vocab_size=262, eos_ids=[]), foreign


def test_each_token_has_its_id_text_and_type():
    text, foreign = read()
    assert text.encode("12 a    [PAD261]<end>")[:3] == [258, 259, 260]
    assert {260, 261, 1}.isdisjoint(text.encode("[PAD261]<end>"))
    assert text.encode("<end>", specials=True) == [1]
    assert (text.token_bytes(1), text.token_bytes(261), text.vocab_size) == (b"<end>", b"", 262)
    assert foreign.settings["chat_template"] == "{{ messages }}"
    assert [foreign.settings[name] for name in ("bos_token", "eos_token")] == TOKENS[:2]


@pytest.mark.parametrize(
    ("pre", "words"),
    [
        ("gpt-2", ["1234", " don", "'t", " ", " a", "\n\n", " 漢字", "\t", "\t", "X"]),
        ("smollm", ["1", "2", "3", "4", " don", "'t", " ", " a", "\n\n", " 漢字", "\t", "\t", "X"]),
        ("qwen2", ["1", "2", "3", "4", " don", "'t", " ", " a", "\n\n", " 漢字", "\t", "\tX"]),
        ("llama-bpe", ["123", "4", " don", "'t", " ", " a", "\n\n", " 漢字", "\t", "\tX"]),
    ],
)
def test_words_are_split_as_each_name_says(pre, words):
    fields = json.loads(read(pre=pre)[1].text)["pre_tokenizer"]
    engine = pre_tokenizers.Sequence([_step(step) for step in fields["pretokenizers"]])
    spelled = [word for word, _ in engine.pre_tokenize_str(SPLIT)]
    expected = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)] * len(words)
    assert spelled == [
        step.pre_tokenize_str(word)[0][0] for step, word in zip(expected, words, strict=True)
    ]


def _step(fields):
    from tokenizers import Regex

    if fields["type"] == "Split":
        return pre_tokenizers.Split(Regex(fields["pattern"]["Regex"]), "isolated")
    if fields["type"] == "Digits":
        return pre_tokenizers.Digits(individual_digits=True)
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=fields["use_regex"])


@pytest.mark.parametrize("pre", SPLITTERS)
def test_every_splitter_round_trips(pre):
    text, _ = read(pre=pre)
    assert text.decode(text.encode(SPLIT)) == SPLIT


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"add_bos_token": True}, [0]),
        ({"pre": "llama-bpe"}, [0]),
        ({"pre": "llama-bpe", "add_bos_token": False}, []),
    ],
)
def test_begin_tokens(changes, expected):
    assert read_begin_ids(read(**changes)[1]) == expected


def test_every_key_of_an_end_counts():
    fields = keys(eot_token_id=7, eom_token_id=9)
    assert read_eos_ids(fields) == [1, 7, 9]
    assert read_eos_ids({}) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "llama"}, "its tokenizer is 'llama'"),
        ({"pre": "tekken"}, "splits words by 'tekken'"),
        ({"pre": "default"}, "splits words by 'default'"),
    ],
)
def test_others_are_refused_by_name(changes, message):
    with pytest.raises(InputError, match=message):
        read(**changes)
    fields = keys()
    del fields["tokenizer.ggml.merges"]
    with pytest.raises(InputError, match=r"no key tokenizer\.ggml\.merges"):
        read_tokenizer("m.gguf", fields)
