"""Echo and healing with several kinds of tokenizers: ours, byte-level BPE, and SentencePiece's."""

import numpy as np
import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from codex_jax.sample.engine.requests import PromptLogprobs, TopLogprobs
from codex_jax.sample.sampling.token_healing import TokenHealer
from codex_jax.sample.serve.choices import ChoiceBuilder
from codex_jax.sample.serve.completion_request import ServerLimits, parse_request
from codex_jax.tokenizer import Tokenizer

CODE = ["def f(x):\n    return x\n\nfor i in range(10):\n\tprint(i)\n"] * 3
LIMITS = ServerLimits(max_prompt_tokens=400, max_new_tokens=16, max_context=500)


def of_library(engine):
    text = engine.to_str()
    return Tokenizer.read_hugging_face(
        text, settings={}, specials={}, vocab_size=engine.get_vocab_size()
    )


def byte_level():
    engine = tokenizers.Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    specials = ["<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=330, initial_alphabet=alphabet, special_tokens=specials, show_progress=False
    )
    engine.train_from_iterator(CODE, trainer)
    engine.add_tokens(["    "])  # added, and yet text
    return of_library(engine)


def sentence_piece():
    """Llama 2's scheme: spaces are a character, one is put in front, bytes for all else."""
    letters = sorted({*"".join(CODE)} - {" ", "\n", "\t"})
    merges = [("d", "e"), ("de", "f"), ("\u2581", "def"), ("\u2581", "\u2581"), ("x", "x")]
    tokens = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", *letters]
    vocabulary = {token: n for n, token in enumerate([*tokens, *map("".join, merges)])}
    model = models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    engine = tokenizers.Tokenizer(model)
    prefix = normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")
    engine.normalizer = normalizers.Sequence(list(prefix))
    space = decoders.Replace("\u2581", " ")
    parts = [space, decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    engine.decoder = decoders.Sequence(parts)
    return of_library(engine)


TOKENIZERS = {
    "ours": Tokenizer.train(CODE, vocab_size=360),
    "bytes": Tokenizer({bytes([byte]): byte for byte in range(256)}),
    "byte_level": byte_level(),
    "sentence_piece": sentence_piece(),
}
TEXTS = [
    "def f(x):\n    return x",
    "",
    "\n",
    "  two spaces",
    "\tif é == '🙂漢':\n\t\t",
    "<|im_start|>user<|im_end|>",
    "x" * 40,
    "a\u0301\r\n\0",
]


def echo(tokenizer, prompt, begin_ids=()):
    """(text, tokens, offsets) of an echoed prompt."""
    request = parse_request(
        {"model": "m", "prompt": prompt, "echo": True, "logprobs": 0},
        tokenizer,
        tokenizer.vocab_size,
        LIMITS,
        begin_ids=begin_ids,
    )
    (tokens,) = request.prompts
    count = max(0, len(tokens) - 1)
    top = TopLogprobs(np.zeros((count, 5), int), np.zeros((count, 5)))
    builder = ChoiceBuilder(
        tokenizer.token_bytes, eos_ids=[], stops=(), top_logprobs=0, start=len(prompt)
    )
    text, logprobs = builder.echo(
        tokens,
        PromptLogprobs("x", np.arange(count, dtype=float), top),
        begin=request.begin_tokens[0],
        text=request.texts[0],
    )
    return text, logprobs


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("prompt", TEXTS, ids=ascii)
def test_an_echo_is_the_prompt_with_tokens_that_align(name, prompt):
    tokenizer = TOKENIZERS[name]
    begin_ids = [tokenizer.eos_id]
    for begin in ((), begin_ids, [*begin_ids, *begin_ids]):
        text, logprobs = echo(tokenizer, prompt, begin)
        assert text == prompt
        assert len(logprobs["tokens"]) == len(tokenizer.encode(prompt))
        assert all(len(values) == len(logprobs["tokens"]) for values in logprobs.values())
        if logprobs["tokens"]:
            # the first echoed token has none of its own, the next is scored after all before it
            assert logprobs["token_logprobs"][0] is None
            expected = list(range(len(begin), len(begin) + len(logprobs["tokens"]) - 1))
            assert logprobs["token_logprobs"][1:] == expected
        if not any(token.startswith("bytes:") for token in logprobs["tokens"]):
            assert "".join(logprobs["tokens"]) == prompt
            starts = np.cumsum([0, *map(len, logprobs["tokens"])])[:-1]
            assert logprobs["text_offset"] == list(starts)


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("prompt", [text for text in TEXTS if text], ids=ascii)
def test_a_list_of_tokens_has_the_scores_of_its_text(name, prompt):
    tokenizer = TOKENIZERS[name]
    _, of_text = echo(tokenizer, prompt)
    _, of_tokens = echo(tokenizer, tokenizer.encode(prompt))
    assert of_text["token_logprobs"] == of_tokens["token_logprobs"]
    assert of_text["tokens"][1:] == of_tokens["tokens"][1:]


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("prompt", TEXTS, ids=ascii)
def test_what_is_taken_off_is_the_prompts_end(name, prompt):
    tokenizer = TOKENIZERS[name]
    tokens = [tokenizer.eos_id, *tokenizer.encode(prompt)]
    count = TokenHealer.from_tokenizer(tokenizer).count(prompt, tokens)
    removed = tokenizer.decode_bytes(tokens[len(tokens) - count :])
    assert prompt.encode().endswith(removed.removeprefix(b" ") if count else b"")
    assert count == 0 or name != "bytes"
    if name in ("ours", "byte_level") and prompt == "\n":
        assert removed == b"\n"
