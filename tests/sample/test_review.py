"""The reviewer's score: the prompt's log-probability after a completion."""

import numpy as np
import pytest

from codex_jax import InputError, checkpoint, model
from codex_jax.records import Completion, Problem, read_jsonl, write_jsonl
from codex_jax.sample.review import encode_review, review
from codex_jax.sample.sampling.text_ends import read_ends
from codex_jax.tokenizer import Tokenizer
from tests.sample.models import teacher_forced

PROMPT = "def f(x):\n"
LONG = "def g(x):\n" * 200
SAMPLES = [
    Completion(task_id="f", completion="    return x\n", sample_index=1, mean_logprob=-0.5),
    Completion(task_id="f", completion="    return x\n\n", sample_index=2, extra={"note": 7}),
    Completion(task_id="f", completion="    é = 1\n" * 90, sample_index=0),
    Completion(task_id="long", completion="    return x\n", extra={"reviewer_logprob": -9.0}),
]


@pytest.fixture(scope="module")
def files(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("review")
    problems = [Problem(task_id="f", prompt=PROMPT), Problem(task_id="long", prompt=LONG)]
    write_jsonl(folder / "problems.jsonl", problems)
    write_jsonl(folder / "completions.jsonl", SAMPLES)
    return {name: trained[name] for name in ("checkpoint_dir", "tokenizer")} | {
        "problems": str(folder / "problems.jsonl"),
        "completions": str(folder / "completions.jsonl"),
        "output": str(folder / "reviewed.jsonl"),
    }


@pytest.fixture(scope="module")
def reviewed(files):
    count = review(**files)
    return count, list(read_jsonl(files["output"], Completion))


def expected_score(files, completion):
    """The mean over the prompt's tokens, from the model's own logits."""
    bpe = Tokenizer.load(files["tokenizer"])
    card = checkpoint.read_card(files["checkpoint_dir"])
    config = model.DecoderConfig.from_json(card.model)
    shapes, _ = model.abstract_params(config)
    params = checkpoint.restore_params(files["checkpoint_dir"], shapes)
    begin_ids = read_ends(card, bpe).begin_ids
    text = encode_review(bpe, completion, PROMPT, begin_ids=begin_ids, most=config.max_length)
    assert bpe.decode(list(text.tokens)).endswith("\n\n\n" + PROMPT)
    logprobs = teacher_forced(config, params, text.tokens)[:-1]
    return logprobs[np.arange(len(logprobs)), text.tokens[1:]][-text.scored :].mean()


def test_the_score_is_the_models_mean_log_probability_of_the_prompt(files, reviewed):
    count, rows = reviewed
    assert count == 3
    scores = [row.extra.get("reviewer_logprob") for row in rows]
    for row, score in zip(rows[:3], scores, strict=False):
        assert score == pytest.approx(expected_score(files, row.completion), abs=1e-4)
    assert scores[0] == scores[1] != scores[2]


def test_completions_keep_their_order_and_fields(reviewed):
    _, rows = reviewed
    assert [row.sample_index for row in rows] == [1, 2, 0, 0]
    assert rows[0].mean_logprob == -0.5
    assert rows[1].extra["note"] == 7
    assert [row.completion for row in rows] == [sample.completion for sample in SAMPLES]


def test_a_prompt_that_is_longer_than_the_model_leaves_no_score(reviewed):
    assert "reviewer_logprob" not in reviewed[1][3].extra  # an earlier one isn't kept, either


def test_a_long_completion_keeps_its_end(files):
    bpe = Tokenizer.load(files["tokenizer"])
    whole = encode_review(bpe, "    a = 1\n" * 90, PROMPT, begin_ids=(0,), most=5000).tokens
    short = encode_review(bpe, "    a = 1\n" * 90, PROMPT, begin_ids=(0,), most=60)
    assert len(short.tokens) == 59
    assert short.tokens[0] == 0
    assert short.tokens[1:] == whole[-58:]
    assert short.scored == len(bpe.encode(PROMPT))


def test_completions_of_other_problems_are_refused(files, tmp_path):
    write_jsonl(tmp_path / "other.jsonl", [Completion(task_id="h", completion="x")])
    settings = files | {"output": str(tmp_path / "out.jsonl")}
    with pytest.raises(InputError, match="'h' is no problem; set problems to the file"):
        review(**settings | {"completions": str(tmp_path / "other.jsonl")})
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(InputError, match="no completions; expected JSON Lines of completions"):
        review(**settings | {"completions": str(tmp_path / "empty.jsonl")})
    with pytest.raises(InputError, match="output"):
        review(**files | {"output": files["completions"]})
