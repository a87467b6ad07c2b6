"""encode ∘ decode = identity, on anything a UTF-8 file can hold."""

import base64
import json

import hypothesis
import pytest
import tokenizers
from hypothesis import strategies as st

from codex_jax import InputError
from codex_jax.tokenizer import END_OF_TEXT, SPECIALS, WHITESPACE_RUNS, Tokenizer

TEXTS = [
    "def add(a, b):\n    return a + b\n\n\nclass Point:\n    def move(self):\n        pass\n",
    "for word in words:\n\tif word:\n\t\tprint(word)\n",
    "naïve = '😀'  # ünïcode\n",
] * 3


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS, vocab_size=420)


ODD_PIECES = st.sampled_from(
    [*SPECIALS, "<|", "|>", "\r\n", "\n    ", " " * 40, "\t\t", "!", "\x00"]
)
ANY_TEXT = st.lists(st.one_of(ODD_PIECES, st.text()), max_size=8).map("".join)


@hypothesis.given(text=ANY_TEXT)
def test_round_trip_is_exact_on_any_text(tokenizer: Tokenizer, text: str):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode_bytes(ids) == text.encode()


@hypothesis.given(text=ANY_TEXT)
def test_no_text_encodes_to_a_special_token(tokenizer: Tokenizer, text: str):
    special = {tokenizer.special_id(name) for name in SPECIALS}
    assert not special & set(tokenizer.encode(text + END_OF_TEXT))


@hypothesis.given(texts=st.lists(ANY_TEXT, max_size=5))
def test_a_batch_is_its_texts_one_by_one(tokenizer: Tokenizer, texts: list[str]):
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]


@pytest.mark.parametrize("run", WHITESPACE_RUNS, ids=repr)
def test_a_whitespace_run_is_one_token(tokenizer: Tokenizer, run: str):
    assert len(tokenizer.encode(run)) == 1
    around = tokenizer.encode("x" + run + "y")
    assert around == tokenizer.encode("x") + tokenizer.encode(run) + tokenizer.encode("y")


def test_id_0_is_an_ordinary_token(tokenizer: Tokenizer):
    assert tokenizer.encode("!") == [0]
    assert tokenizer.decode([0, 0]) == "!!"


def test_ids_are_contiguous_and_the_special_ones_are_last(tokenizer: Tokenizer):
    pieces = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
    assert len(set(pieces)) == tokenizer.vocab_size <= 420
    assert pieces[tokenizer.eos_id :] == [name.encode() for name in SPECIALS]


def test_training_depends_on_the_texts_alone():
    once = Tokenizer.train(iter(TEXTS), vocab_size=400)
    again = Tokenizer.train(reversed(TEXTS), vocab_size=400)
    assert once.hash == again.hash
    assert once.hash != Tokenizer.train(TEXTS[1:2], vocab_size=400).hash


def test_bytes_that_are_not_utf8_survive(tokenizer: Tokenizer):
    broken = [token for token in range(256) if tokenizer.token_bytes(token) == b"\xff"]
    assert tokenizer.decode_bytes(broken) == b"\xff"
    assert tokenizer.decode(broken) == "\N{REPLACEMENT CHARACTER}"


def test_the_parts_of_an_indent_token_spell_it(tokenizer: Tokenizer):
    parts = tokenizer.indent_split_table()
    split = [token for token in range(tokenizer.vocab_size) if parts[token, 0] >= 0]
    assert tokenizer.encode("\n    ")[0] in split
    for token in split:
        assert tokenizer.decode_bytes(parts[token]) == tokenizer.token_bytes(token)
    assert tokenizer.newline_mask()[split].all()


def test_load_restores_a_saved_tokenizer(tokenizer: Tokenizer, tmp_path):
    tokenizer.save(tmp_path / "deep" / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "deep" / "tokenizer.json")
    assert (loaded.hash, loaded.vocab_size) == (tokenizer.hash, tokenizer.vocab_size)
    assert loaded.encode_batch(TEXTS) == tokenizer.encode_batch(TEXTS)


def _altered(content: str) -> str:
    stored = json.loads(content)
    stored["vocabulary"]["!"], stored["vocabulary"]["#"] = 2, 0
    return json.dumps(stored)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_altered, "altered"),
        (lambda content: content[:-20], "not a tokenizer's JSON"),
        (lambda _: "[" * 100_000, "not a tokenizer's JSON"),
        (lambda _: "[1, 2]", "not a tokenizer of ours"),
        (lambda _: json.dumps({"model": {}}), "not a tokenizer of ours"),
    ],
)
def test_a_spoilt_file_is_refused(tokenizer: Tokenizer, tmp_path, spoil, message):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    path.write_text(spoil(path.read_text("utf-8")), "utf-8")
    with pytest.raises(InputError, match=message):
        Tokenizer.load(path)


def test_bad_input_is_one_line(tokenizer: Tokenizer, tmp_path):
    with pytest.raises(InputError, match="no such tokenizer"):
        Tokenizer.load(tmp_path / "absent.json")
    with pytest.raises(InputError, match="expected a UTF-8 string"):
        tokenizer.encode("\ud800")
    with pytest.raises(InputError, match="expected 0 ≤ id"):
        tokenizer.decode([tokenizer.vocab_size])
    with pytest.raises(InputError, match="vocab_size is 100"):
        Tokenizer.train(TEXTS, vocab_size=100)


def _gpt2_style(folder):
    """GPT-2's vocabulary file, a small one, and the library's own tokenizer of them."""
    library = tokenizers.ByteLevelBPETokenizer()
    library.train_from_iterator(TEXTS, vocab_size=330, special_tokens=[], show_progress=False)
    library.save_model(str(folder))
    vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
    (folder / "vocab.json").write_text(json.dumps({**vocabulary, END_OF_TEXT: len(vocabulary)}))
    return library


def test_gpt2_files_encode_as_their_own_library_does(tmp_path):
    library = _gpt2_style(tmp_path)
    tokenizer = Tokenizer.read_gpt2(tmp_path / "vocab.json")
    for text in [*TEXTS, "  two  spaces\n\n\n   and three's", "<|endoftext|>"]:
        assert tokenizer.encode(text) == library.encode(text).ids
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.eos_id == library.get_vocab_size()
    assert tokenizer.vocab_size == library.get_vocab_size() + len(SPECIALS)
    tokenizer.save(tmp_path / "ours.json")
    assert Tokenizer.load(tmp_path / "ours.json").encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])


def test_tiktoken_files_are_the_same_vocabulary_with_a_gap_for_the_end(tmp_path):
    library = _gpt2_style(tmp_path)
    gpt2 = Tokenizer.read_gpt2(tmp_path / "vocab.json")
    spaces = {gpt2.eos_id + n: b" " * (n + 20) for n in (1, 2)}  # beyond the gap, as p50k_base
    ranks = {n: gpt2.token_bytes(n) for n in range(library.get_vocab_size())} | spaces
    rows = (f"{base64.b64encode(token).decode()} {rank}" for rank, token in ranks.items())
    (tmp_path / "small.tiktoken").write_text("\n".join(rows) + "\n")
    tokenizer = Tokenizer.read_tiktoken(tmp_path / "small.tiktoken")
    assert tokenizer.eos_id == gpt2.eos_id
    assert [tokenizer.special_id(name) for name in SPECIALS[1:]] == [
        gpt2.eos_id + n for n in (3, 4, 5)
    ]
    for text in TEXTS:
        flat = text.replace("  ", "")
        assert tokenizer.encode(flat) == library.encode(flat).ids
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode(" " * 22) == [gpt2.eos_id + 2]


def test_foreign_files_that_arent_are_refused(tmp_path):
    (tmp_path / "a").write_text("YQ== 0\n")
    with pytest.raises(InputError, match="255 bytes have no token"):
        Tokenizer.read_tiktoken(tmp_path / "a")
    with pytest.raises(InputError, match=r"not a \.tiktoken file"):
        Tokenizer.read_tiktoken(tmp_path / "absent")
    with pytest.raises(InputError, match="not GPT-2's vocabulary"):
        Tokenizer.read_gpt2(tmp_path / "a")


def test_the_exported_file_encodes_alike_in_tokenizers(tokenizer, tmp_path):
    tokenizer.export(tmp_path)
    library = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in (
        "def f(x):\n    return x + 12345\n\n\n",
        "é 漢字\t\t'quoted' \u200b  end  ",
        "    \n",
    ):
        assert library.encode(text).ids == tokenizer.encode(text)
        assert library.decode(tokenizer.encode(text)) == text
    assert library.token_to_id("<|endoftext|>") == tokenizer.eos_id
    assert library.get_vocab_size() == tokenizer.vocab_size
