"""`codex-jax sample`: problems in, completions out; an interrupted run resumes."""

import itertools
from collections.abc import Sequence

from codex_jax import InputError, list_settings, ranges
from codex_jax.sample.batch_run import BatchRun, format_output
from codex_jax.sample.engine.load import read_card
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.inputs import read_inputs
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.sample.sampling.stop_strings import PAPER_STOPS, check_stops
from codex_jax.sample.sampling.text_ends import read_ends
from codex_jax.sharding import MeshShape
from codex_jax.tokenizer import Tokenizer

_RANGES = {
    "samples_per_problem": ranges.integer(1, 1_000_000),
    "max_new_tokens": ranges.integer(1),
    "batch_size": ranges.integer(1, 65_536),
}


def generate(
    *,
    checkpoint_dir: str,
    tokenizer: str,
    problems: str,
    output: str = "completions.jsonl",
    sampling_params: SamplingParams | None = None,
    samples_per_problem: int = 20,
    max_new_tokens: int = 300,
    stops: Sequence[str] = PAPER_STOPS,
    seed: int = 0,
    batch_size: int = 64,
    step: int | Sequence[int] | None = None,
    temperatures: Sequence[float] = (),
    dtype: str = "float32",
    weights_dtype: str | None = None,
    kv_cache_dtype: str | None = None,
    mesh: MeshShape | None = None,
    prepend_eos: bool | None = None,
    ordered: bool = False,
    token_healing: bool = True,
    batch_output: str = "",
) -> int:
    """Samples completions of every problem; returns their number. Run again, it resumes.

    Args:
      checkpoint_dir: Directory that train wrote.
      tokenizer: The tokenizer the model was trained with (tokenizer.json).
      problems: JSON Lines (or .gz) of prompt, task_id and suffix, or of OpenAI's Batch format.
      output: JSON Lines, appended to; may contain {step}, {temperature}. Manifest: .job.json.
      sampling_params: Temperature, top-k, min-p, top-p, penalties and biases.
      samples_per_problem: Samples of each prompt (n).
      max_new_tokens: Most tokens of a sample.
      stops: Strings before which a completion ends.
      seed: Changes every sample.
      batch_size: Samples that run at a time.
      step: Checkpoint to sample from, or several; the newest if None.
      temperatures: Several temperatures, instead of the sampling parameters'.
      dtype: Of activations: "float32" or "bfloat16".
      weights_dtype: Storage dtype of the weights: dtype (default) or "int8".
      kv_cache_dtype: Storage dtype of keys and values: dtype (default) or "int8".
      mesh: Devices along each mesh axis; by default every device is a replica.
      prepend_eos: Prepend the begin token, or end of text; None does as the model's card says.
      ordered: Write samples in the order of the problems, rather than as they finish.
      token_healing: Sample a prompt's last tokens anew where a longer token may stand there.
      batch_output: The samples again, in OpenAI's Batch output format; braces as in output.
    """
    bpe = Tokenizer.load(tokenizer)
    ranges.check("sample", locals(), _RANGES)
    params, samples = sampling_params or SamplingParams(), range(samples_per_problem)
    default = Request("", (), samples, params, seed, max_new_tokens, check_stops(stops))
    lines = read_inputs(problems, default)
    steps = step if isinstance(step, Sequence) else (step,)
    _check_outputs(output, batch_output or output, steps, temperatures)
    cards = [read_card(checkpoint_dir, number, tokenizer, bpe) for number in steps]
    dtypes = {"dtype": dtype, "weights_dtype": weights_dtype, "kv_cache_dtype": kv_cache_dtype}
    ends = read_ends(cards[0], bpe, prepend_eos)
    options = (dtypes, mesh or MeshShape(), ends, ordered, token_healing, batch_output)
    run = BatchRun(lines, default, bpe, output, batch_size, *options)
    return sum(run.sample(checkpoint_dir, card, temperatures) for card in cards)


def _check_outputs(
    output: str, batch_output: str, steps: Sequence[int | None], temperatures: Sequence[float]
) -> None:
    """Checks that every file of a run has a name of its own."""
    list_settings.check_distinct(step=steps, temperatures=temperatures)
    pairs = list(itertools.product(steps, temperatures or (0.0,)))
    for setting, path in {"output": output, "batch_output": batch_output}.items():
        names = {format_output(path, step or 0, number, setting) for step, number in pairs}
        if len(names) < len(pairs):
            braces = "{step}" * (len(steps) > 1) + "{temperature}" * (len(temperatures) > 1)
            raise InputError(
                f"{setting} is {path}, one name for two of {len(pairs)} files; set it to a name "
                f"with {braces.replace('}{', '} and {')}"
            )
