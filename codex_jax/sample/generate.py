"""`codex-jax sample`: problems in, completions out; an interrupted run resumes."""

from collections.abc import Sequence

<<<<<<< HEAD
from codex_jax import InputError, checkpoint, model, progress
from codex_jax.host_runtime import gc_disabled
from codex_jax.records import Completion
from codex_jax.sample import inputs as files
from codex_jax.sample.completions_file import CompletionsFile
from codex_jax.sample.engine import shardings
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.engine import Engine
from codex_jax.sample.engine.requests import Request, Sample
from codex_jax.sample.engine.state import Shape
from codex_jax.sample.inputs import Asked
from codex_jax.sample.sampling.detokenizer import prompt_tokens, whole_text
from codex_jax.sample.sampling.params import Policy
=======
from codex_jax import InputError
from codex_jax.sample.batch_run import BatchRun
from codex_jax.sample.engine.load import read_card
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.inputs import read_inputs
from codex_jax.sample.sampling.params import SamplingParams
>>>>>>> main
from codex_jax.sample.sampling.stop_strings import PAPER_STOPS
from codex_jax.sharding import MeshShape
from codex_jax.tokenizer import Tokenizer


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
    prepend_eos: bool = True,
    ordered: bool = False,
) -> int:
    """Samples completions of every problem; returns the number of samples in the output.

    Run again, it resumes: the file is that of an uninterrupted run, up to the order of its lines.

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
      prepend_eos: Prepend end of text, as in our training data; False for most imported models.
      ordered: Write samples in the order of the problems, rather than as they finish.
    """
    bpe = Tokenizer.load(tokenizer)
    _check_sizes(samples_per_problem, max_new_tokens, batch_size)
    params, samples = sampling_params or SamplingParams(), range(samples_per_problem)
    default = Request("", (), samples, params, seed, max_new_tokens, tuple(stops))
    lines = read_inputs(problems, default)
    steps = step if isinstance(step, Sequence) else (step,)
    _check_output(output, step=steps, temperature=temperatures)
    cards = [read_card(checkpoint_dir, number, tokenizer, bpe) for number in steps]
    dtypes = {"dtype": dtype, "weights_dtype": weights_dtype, "kv_cache_dtype": kv_cache_dtype}
    mesh = mesh or MeshShape()
    run = BatchRun(lines, default, bpe, output, batch_size, dtypes, mesh, prepend_eos, ordered)
    return sum(run.sample(checkpoint_dir, card, temperatures) for card in cards)


<<<<<<< HEAD
class _Job(NamedTuple):
    """What all checkpoints of a run have in common; see `generate`."""

    read: list[Asked]
    whole: Request
    text: Tokenizer
    output: str
    rows: int
    kinds: dict[str, str | None]
    mesh: MeshShape
    begin: bool
    ordered: bool

    def run(self, checkpoint_dir: str, card: checkpoint.Card, heats: Sequence[float]) -> int:
        """Samples of one checkpoint at each temperature; the engine is loaded where some lack."""
        shape = _shape(
            _requests(self.read, self.text, self.begin), card.model, self.rows, self.kinds
        )
        engine, held = None, 0
        for heat in heats:
            policy = dataclasses.replace(self.whole.policy, temperature=heat)
            manifest = _manifest(card, self.whole._replace(policy=policy), self.kinds, self.begin)
            asked = _at(self.read, self.whole.policy, policy)
            requests = _requests(asked, self.text, self.begin)
            path = self.output.format(step=card.step, temperature=heat)
            with CompletionsFile(path, manifest) as file:
                if left := list(_left(requests, file.done)):
                    first = len(left[0].tokens)
                    engine = engine or load_engine(
                        checkpoint_dir, card, shape, self.mesh, self.text, prompt=first
                    )
                    _write(left, file, engine, self.text, _count(requests), self.ordered)
                held += len(file.done)
        return held


def _at(read: list[Asked], old: Policy, new: Policy) -> list[Asked]:
    """What is asked, under another policy; a line's own policy stays."""
    return [
        Asked(problem, request._replace(policy=new) if request.policy is old else request)
        for problem, request in read
    ]


def _shape(requests: list[Request], config: dict, rows: int, kinds: dict[str, str | None]) -> Shape:
    """Sizes rest on what is asked, not on what is left."""
    return plan(
        longest=_longest(requests, config),
        samples=max(len(request.samples) for request in requests),
        rows=rows,
        new=max(request.new for request in requests),
        **kinds,
    )


def _count(requests: list[Request]) -> int:
    return sum(len(request.samples) for request in requests)


def read_card(checkpoint_dir: str, step: int | None, path: str, text: Tokenizer) -> checkpoint.Card:
    """The checkpoint's card, held against the tokenizer."""
    card = checkpoint.read_card(checkpoint_dir, step=step)
    if card.tokenizer_hash != text.hash:
        raise InputError(
            f"{path} hashes to {text.hash[:12]}, the checkpoint was trained with "
            f"{card.tokenizer_hash[:12]}; turn tokenizer or checkpoint_dir"
        )
    return card


def _manifest(card: checkpoint.Card, whole: Request, kinds: dict, begin: bool) -> dict[str, Any]:
    """What the samples depend on, besides their problems."""
    return {
        "model": card.model,
        "step": card.step,
        "tokenizer": card.tokenizer_hash,
        "policy": dataclasses.asdict(whole.policy),
        "max_new_tokens": whole.new,
        "stops": list(whole.stops),
        "seed": whole.seed,
        "begin": begin,
        **kinds,
    }


def load_engine(
    checkpoint_dir: str,
    card: checkpoint.Card,
    shape: Shape,
    mesh: MeshShape,
    text: Tokenizer,
    *,
    prompt: int = 1,
) -> Engine:
    """The checkpoint's model on the devices, ready to run; read while the loop is compiled.

    Args:
      prompt: tokens of the first prompt, or of one like it.
    """
    config = model.DecoderConfig.from_json(card.model)
    devices = shardings.make_mesh(mesh, config, shape.rows)
    shapes = shardings.params_shapes(config, devices)
    said = [text.token_bytes(token) for token in range(text.vocab_size)]
    with gc_disabled(), concurrent.futures.ThreadPoolExecutor(1) as beside:
        read = beside.submit(checkpoint.restore_params, checkpoint_dir, shapes, step=card.step)
        return Engine(
            config,
            read.result,
            shape,
            token_bytes=said,
            eos_id=text.eos_id,
            mesh=devices,
            prompt=prompt,
        )


def _write(
    left: list[Request], file, engine: Engine, text: Tokenizer, total: int, ordered: bool
) -> None:
    """Samples to the file, as they finish or in the order of the requests."""
    tokens, asked = 0, {request.name: request for request in left}
    batches = engine.batches(left)
    with progress.bar(desc="sampling", total=total, unit="sample", done=len(file.done)) as bar:
        for samples in _in_order(batches, left) if ordered else batches:
            for sample in samples:
                request = asked[sample.name]
                made = completion(sample, text, request.stops)
                made.extra["temperature"] = request.policy.temperature
                file.append(made)
                tokens += len(sample.tokens)
            file.flush()
            bar.update(len(samples))
            rate = tokens / max(bar.format_dict["elapsed"], 1e-9)
            bar.set_postfix_str(f"{rate:.0f} tokens/s, rows {engine.occupancy:.0%} busy")


def _in_order(batches: Iterable[list[Sample]], requests: list[Request]) -> Iterator[list[Sample]]:
    """Holds samples back until all before them are there."""
    waiting = collections.deque((r.name, index) for r in requests for index in r.samples)
    held: dict[tuple[str, int], Sample] = {}
    for samples in batches:
        held |= {(sample.name, sample.index): sample for sample in samples}
        ready = []
        while waiting and waiting[0] in held:
            ready.append(held.pop(waiting.popleft()))
        yield ready


def completion(sample: Sample, text: Tokenizer, stops: Sequence[str]) -> Completion:
    """A sample as text, without what ended it."""
    ids = sample.tokens.tolist()
    total = float(sample.logprobs.astype("float64").sum())
    return Completion(
        task_id=sample.name,
        completion=whole_text(ids, text.token_bytes, eos_id=text.eos_id, stops=stops),
        sample_index=sample.index,
        mean_logprob=total / len(ids),
        sum_logprob=total,
        tokens=len(ids),
        finish_reason=sample.reason,
    )


def _requests(asked: list[Asked], text: Tokenizer, begin: bool) -> list[Request]:
    """Prompts as tokens."""
    requests = []
    for problem, request in asked:
        suffix = problem.extra.get("suffix")
        if not isinstance(suffix, str | None):
            found = type(suffix).__name__
            raise InputError(f"{problem.task_id}: suffix must be a string, found {found}")
        ids = prompt_tokens(text, problem.prompt, suffix, begin=begin)
        requests.append(request._replace(tokens=ids))
    return requests


def _left(requests: list[Request], done: set[tuple[str, int]]) -> Iterator[Request]:
    """What is still to be sampled."""
    for request in requests:
        left = [index for index in request.samples if (request.name, index) not in done]
        if left:
            yield request._replace(samples=left)


def _check_sizes(n: int, new: int, rows: int) -> None:
    names = {"samples_per_problem": n, "max_new_tokens": new, "batch_size": rows}
    for name, value in names.items():
=======
def _check_sizes(samples: int, max_new_tokens: int, rows: int) -> None:
    sizes = {"samples_per_problem": samples, "max_new_tokens": max_new_tokens, "batch_size": rows}
    for name, value in sizes.items():
>>>>>>> main
        if value < 1:
            raise InputError(f"{name} is {value}; expected 1 or more")


def _check_output(output: str, **lists: Sequence[float | None]) -> None:
    """Checks that every file of a run has a name of its own."""
    for name, values in lists.items():
        if len(values) > 1 and f"{{{name}}}" not in output:
            raise InputError(
                f"output is {output}; with {len(values)} {name}s set it to a name with {{{name}}}"
            )
