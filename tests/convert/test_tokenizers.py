import json

import pytest
import tokenizers

from codex_jax import InputError
from codex_jax.convert.tokenizers import ForeignTokenizer, make_tokenizer
from codex_jax.tokenizer import SPECIALS, Tokenizer
from codex_jax.tokenizer.formats import to_hugging_face
from tests.convert.small_tokenizer import added_token, small_tokenizer

TEXTS = [
    "def f(x):\n\tif x == 12:\n        return 'abc'\n",
    " ab" + " " * 30 + "\t\t\t",
    "é🙂 e\u0301",
]


def make(fields, settings=None, vocab_size=262, eos_ids=()):
    foreign = ForeignTokenizer.read(json.dumps(fields), settings or {})
    return make_tokenizer(foreign, vocab_size=vocab_size, eos_ids=eos_ids)


def test_runs_of_spaces_that_are_added_are_ordinary_text():
    runs = [added_token(261 + n, " " * (n + 2), special=False) for n in range(20)]
    runs += [added_token(281 + n, "\t" * (n + 2), special=False) for n in range(7)]
    fields = small_tokenizer(added_tokens=[*small_tokenizer()["added_tokens"], *runs])
    text = make(fields)
    assert text.encode("a" + " " * 5 + "b")[1] == 264
    assert text.token_bytes(264) == b" " * 5
    library = tokenizers.Tokenizer.from_str(json.dumps(fields))
    for sample in TEXTS:
        assert text.encode(sample) == library.encode(sample, add_special_tokens=False).ids
        assert text.decode(text.encode(sample)) == sample


@pytest.mark.parametrize(
    "changes",
    [
        {"normalizer": {"type": "NFC"}},
        {"normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": small_tokenizer()["decoder"] | {"add_prefix_space": True}},
        {"added_tokens": [added_token(0, "<|endoftext|>", lstrip=True, rstrip=True)]},
        {"truncation": {"max_length": 2, "strategy": "LongestFirst", "stride": 0}},
    ],
    ids=["nfc", "lowercase", "prefix", "strip", "truncation"],
)
def test_steps_of_the_file_are_the_librarys(changes):
    if "truncation" in changes:
        changes["truncation"]["direction"] = "Right"
    fields = small_tokenizer(**changes)
    library = tokenizers.Tokenizer.from_str(json.dumps(fields))
    library.no_truncation()
    text = make(fields)
    for sample in TEXTS:
        assert text.encode(sample) == library.encode(sample).ids


def test_pieces_with_byte_fallback_are_bytes():
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "▁a", "ab"]
    steps = [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}]
    steps += [{"type": "ByteFallback"}, {"type": "Fuse"}]
    steps += [{"type": "Strip", "content": " ", "start": 1, "stop": 0}]
    prepend = [{"type": "Prepend", "prepend": "▁"}]
    prepend += [{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
    model = {"type": "BPE", "byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"}
    fields = {
        "version": "1.0",
        "added_tokens": [added_token(0, "<unk>")],
        "normalizer": {"type": "Sequence", "normalizers": prepend},
        "decoder": {"type": "Sequence", "decoders": steps},
        "model": model
        | {"vocab": {piece: n for n, piece in enumerate(pieces)}, "merges": ["▁ a", "a b"]},
    }
    text = make(fields)
    library = tokenizers.Tokenizer.from_str(json.dumps(fields))
    for sample in ("ab a\n", "é"):
        assert text.encode(sample) == library.encode(sample).ids
        assert text.decode(text.encode(sample)) == " " + sample


def test_foreign_special_tokens_by_name():
    names = ["<fim_prefix>", "<fim_middle>", "<fim_suffix>"]
    added = [added_token(261 + n, name) for n, name in enumerate(names)]
    text = make(small_tokenizer(added_tokens=[*small_tokenizer()["added_tokens"], *added]))
    assert [text.special_id(f"<|{n[1:-1]}|>") for n in names] == [261, 262, 263]
    assert (text.eos_id, text.vocab_size) == (0, 264)
    with pytest.raises(InputError, match=r"no token <\|fim_prefix\|>; leave suffix out"):
        make(small_tokenizer()).special_id(SPECIALS[1])


def test_an_end_without_a_known_name_is_the_first_id_that_ends_a_text():
    fields = small_tokenizer(added_tokens=[added_token(1, "<extra>")])
    fields["model"]["vocab"]["zzz"] = fields["model"]["vocab"].pop("<|endoftext|>")
    assert make(fields, eos_ids=[1]).eos_id == 1
    text = make(fields, vocab_size=270)
    assert (text.eos_id, text.vocab_size) == (270, 271)  # beyond the model's: never sampled


def test_an_end_that_is_ordinary_text_is_no_end():
    fields = small_tokenizer()
    fields["added_tokens"] = [added_token(1, "<extra>")]
    vocabulary = fields["model"]["vocab"]
    vocabulary["</s>"] = vocabulary.pop("<|endoftext|>")
    assert make(fields, eos_ids=[1]).eos_id == 1


def test_a_file_that_we_exported_is_what_it_was(tmp_path):
    trained = Tokenizer.train(TEXTS * 3, vocab_size=360)
    trained.export(tmp_path, begin_ids=[trained.eos_id])
    exported = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    assert make(exported, vocab_size=400).hash == trained.hash
    with pytest.raises(InputError, match="has a token 355, its model 262 rows"):
        make(exported)
    exported["normalizer"] = {"type": "NFC"}
    assert make(exported, vocab_size=400).hash != trained.hash
    tokens = [trained.token_bytes(n) for n in range(trained.vocab_size)]
    assert "post_processor" not in json.loads(to_hugging_face({b"a": 0}, "a", tokens[:1]))


def test_an_imported_file_is_saved_and_exported_as_it_was(tmp_path):
    fields, settings = small_tokenizer(), {"chat_template": "{{ x }}", "eos_token": "<extra>"}
    text = make(fields, settings, vocab_size=300)
    text.save(tmp_path / "t.json")
    again = Tokenizer.load(tmp_path / "t.json")
    assert (again.hash, again.vocab_size, again.settings) == (text.hash, 300, settings)
    assert again.encode(TEXTS[0]) == text.encode(TEXTS[0])
    again.export(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "tokenizer.json").read_text("utf-8")) == fields
    written = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text("utf-8"))
    assert written == settings
