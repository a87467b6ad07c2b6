"""The seqio vocabulary is the tokenizer."""

import pytest

from codex_jax import InputError
from codex_jax.data.seqio_tasks.vocabulary import BytePairVocabulary, byte_tokenizer


def test_the_vocabulary_is_the_tokenizer(tokenizer):
    vocabulary = BytePairVocabulary(tokenizer)
    text = "def f(x):\n    return 'naïve!'\n"
    ids = vocabulary.encode(text)
    assert ids == tokenizer.encode(text) == vocabulary.encode_tf(text).numpy().tolist()
    assert vocabulary.decode(ids) == text
    assert vocabulary.decode_tf(vocabulary.encode_tf(text)).numpy().decode() == text
    assert vocabulary.vocab_size == tokenizer.vocab_size
    assert (vocabulary.eos_id, vocabulary.bos_id) == (tokenizer.eos_id,) * 2
    assert vocabulary.unk_id is None
    assert vocabulary == BytePairVocabulary(tokenizer)


def test_a_file_is_read_when_it_is_first_used(tokenizer, tokenizer_file, tmp_path):
    assert BytePairVocabulary(tokenizer_file) == BytePairVocabulary(tokenizer)
    vocabulary = BytePairVocabulary(str(tmp_path / "later.json"))
    with pytest.raises(InputError, match=r"later\.json"):
        vocabulary.encode("x")
    tokenizer.save(tmp_path / "later.json")
    assert vocabulary.encode("x = 1") == tokenizer.encode("x = 1")


@pytest.mark.parametrize("text", ["", "a\n\t  b", "naïve 🙂\r\n", "<|endoftext|>"])
def test_ids_of_the_byte_tokenizer_are_bytes(text):
    assert byte_tokenizer().encode(text) == list(text.encode())
