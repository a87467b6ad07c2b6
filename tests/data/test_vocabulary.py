"""The seqio vocabulary is the tokenizer."""

from codex_jax.data.seqio_tasks.vocabulary import BytePairVocabulary


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
