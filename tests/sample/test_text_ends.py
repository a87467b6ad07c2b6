import pytest

from codex_jax import checkpoint
from codex_jax.sample.sampling.detokenizer import encode_prompt
from codex_jax.sample.sampling.stop_strings import STOPPED_STATE, StopAutomata
from codex_jax.sample.sampling.text_ends import read_ends
from codex_jax.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def bpe(trained):
    return Tokenizer.load(trained["tokenizer"])


@pytest.mark.parametrize(
    ("begin_ids", "prepend_eos", "expected"),
    [
        (None, None, ["end"]),
        (None, False, []),
        ([], None, []),
        ([], True, ["end"]),
        ([7], None, [7]),
        ([7], True, [7]),
        ([7], False, []),
    ],
)
def test_a_prompt_begins_as_the_card_says_unless_a_setting_overrides_it(
    bpe, begin_ids, prepend_eos, expected
):
    card = checkpoint.Card(model={}, begin_ids=begin_ids)
    ends = read_ends(card, bpe, prepend_eos)
    tokens = encode_prompt(bpe, "x", None, begin_ids=ends.begin_ids)
    assert tokens == [*(bpe.eos_id if n == "end" else n for n in expected), *bpe.encode("x")]


def test_an_empty_prompt_without_a_begin_token_is_end_of_text(bpe):
    assert encode_prompt(bpe, "", None, begin_ids=()) == [bpe.eos_id]


def test_ends_of_a_card_replace_the_tokenizers(bpe):
    assert read_ends(checkpoint.Card(model={}), bpe).eos_ids == (bpe.eos_id,)
    card = checkpoint.Card(model={}, eos_ids=[5, 9], begin_ids=[])
    assert read_ends(card, bpe).eos_ids == (5, 9), "an imported model's own ends are all"


def test_a_model_that_was_trained_from_an_imported_one_ends_as_its_rows_do_too(bpe):
    trained_on = checkpoint.Card(model={}, eos_ids=[5, 9])
    assert read_ends(trained_on, bpe).eos_ids == (5, 9, bpe.eos_id)
    same = checkpoint.Card(model={}, eos_ids=[bpe.eos_id, 9])
    assert read_ends(same, bpe).eos_ids == (bpe.eos_id, 9)


def test_each_end_stops_from_every_state():
    token_bytes = [bytes([n]) for n in range(64)]
    automata = StopAutomata(token_bytes, eos_ids=[5, 9], states=8)
    start = automata.acquire(["12"])
    for state in (0, start, start + 1):
        assert (automata.table[state, [5, 9]] == STOPPED_STATE).all()
        assert automata.table[state, 7] != STOPPED_STATE
