"""Samples a list of problems from checkpoints at temperatures, into files that resume."""

import collections
import dataclasses
import functools
import hashlib
import json
import string
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax

from codex_jax import InputError, checkpoint, progress
from codex_jax.records import Completion
from codex_jax.remote.paths import to_path
from codex_jax.sample.batch_output import check_batch_output, write_batch_output
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.engine import Engine
from codex_jax.sample.engine.load import check_devices, load_engine, weights_fingerprint
from codex_jax.sample.engine.requests import Request, Sample, check_tokens
from codex_jax.sample.engine.state import EngineShape
from codex_jax.sample.inputs import InputLine
from codex_jax.sample.sampling.detokenizer import detokenize, encode_prompt
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.sample.sampling.text_ends import TextEnds
from codex_jax.sample.sampling.token_healing import TokenHealer
from codex_jax.sample.shared_completions import SharedCompletions
from codex_jax.sharding import MeshShape
from codex_jax.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True)
class BatchRun:
    """The settings that all checkpoints of a run share; see `generate`.

    Attributes:
      default: The request of a line that sets nothing itself.
    """

    lines: list[InputLine]
    default: Request
    tokenizer: Tokenizer
    output: str
    rows: int
    dtypes: dict[str, Any]
    mesh_shape: MeshShape
    ends: TextEnds
    ordered: bool
    token_healing: bool = True
    batch_output: str = ""

    def sample(
        self, checkpoint_dir: str, card: checkpoint.Card, temperatures: Sequence[float]
    ) -> int:
        """Samples one checkpoint at each temperature (the sampling parameters', if none is listed).

        The engine is loaded if any sample is missing.

        Returns:
          The number of samples in all files.
        """
        shape = self._plan(card.model)
        engine, total = None, 0
        for temperature in temperatures or (self.default.sampling_params.temperature,):
            params = dataclasses.replace(self.default.sampling_params, temperature=temperature)
            requests = self._requests(params)
            path = format_output(self.output, card.step, temperature)
            batch_output = format_output(self.batch_output, card.step, temperature, "batch_output")
            if batch_output:
                check_batch_output(batch_output, path)
            manifest = self._manifest(card, params) | {
                "weights": weights_fingerprint(checkpoint_dir, card.step),
                "problems": {
                    request.id: _fingerprint(request, self.default, params) for request in requests
                },
            }
            if not to_path(path).exists():
                check_devices(card, shape, self.mesh_shape)
            with SharedCompletions(path, manifest) as file:
                if share := file.deal(list(_remaining(requests, file.done))):
                    engine = engine or load_engine(
                        checkpoint_dir,
                        card,
                        shape,
                        self.mesh_shape,
                        self.tokenizer,
                        prompt_tokens=len(share[0].tokens),
                    )
                    self._write(share, file, engine)
                total += file.finish(requests)
                if batch_output and jax.process_index() == 0:
                    write_batch_output(batch_output, file.path, requests, self._models())
        return total

    def _requests(self, sampling_params: SamplingParams) -> list[Request]:
        """Tokenized requests; a line's own sampling parameters take precedence."""
        requests = []
        for problem, request in self.lines:
            suffix = problem.extra.get("suffix")
            if not isinstance(suffix, str | None):
                raise InputError(
                    f"{problem.task_id}: suffix must be a string, found {type(suffix).__name__}"
                )
            try:
                tokens = encode_prompt(
                    self.tokenizer, problem.prompt, suffix, begin_ids=self.ends.begin_ids
                )
            except InputError as error:
                raise InputError(f"{problem.task_id}: {error}") from None
            healed = 0
            if self.token_healing and suffix is None:
                healed = self._healer.count(problem.prompt, tokens)
            is_default = request.sampling_params is self.default.sampling_params
            params = sampling_params if is_default else request.sampling_params
            requests.append(request._replace(tokens=tokens, healed=healed, sampling_params=params))
        return requests

    def _models(self) -> dict[str, str]:
        """The names that a batch's lines have for the model."""
        names = ((request.id, problem.extra.get("model")) for problem, request in self.lines)
        return {task_id: name for task_id, name in names if isinstance(name, str)}

    @functools.cached_property
    def _healer(self) -> TokenHealer:
        return TokenHealer.from_tokenizer(self.tokenizer)

    def _plan(self, config: dict[str, Any]) -> EngineShape:
        """Sizes for all requests, so that they don't depend on the samples that remain."""
        requests = self._requests(self.default.sampling_params)
        return plan(
            max_prompt_tokens=longest_prompt(requests, config),
            samples_per_prompt=max(len(request.samples) for request in requests),
            rows=self.rows,
            max_new_tokens=max(_max_new_tokens(request) for request in requests),
            tail_bytes=max(len(self.tokenizer.decode_bytes(_removed(r))) for r in requests),
            **self.dtypes,
        )

    def _manifest(self, card: checkpoint.Card, sampling_params: SamplingParams) -> dict[str, Any]:
        """Everything that the samples depend on, besides their problems and weights."""
        return {
            "model": card.model,
            "step": card.step,
            "tokenizer": card.tokenizer_hash,
            "sampling_params": dataclasses.asdict(sampling_params),
            "max_new_tokens": self.default.max_new_tokens,
            "stops": list(self.default.stops),
            "seed": self.default.seed,
            "begin_ids": list(self.ends.begin_ids),
            "eos_ids": list(self.ends.eos_ids),
            "token_healing": self.token_healing,
            **self.dtypes,
        }

    def _write(self, requests: list[Request], file: SharedCompletions, engine: Engine) -> None:
        """Appends samples to the file, as they finish or in the order of the requests."""
        done = len(file.done)
        total = done + sum(len(request.samples) for request in requests)
        tokens, by_id = 0, {request.id: request for request in requests}
        batches = engine.batches(requests)
        with progress.bar(desc="sampling", total=total, unit="sample", done=done) as bar:
            for samples in _in_order(batches, requests) if self.ordered else batches:
                for sample in samples:
                    request = by_id[sample.request_id]
                    completion = to_completion(
                        sample, self.tokenizer, self.ends.eos_ids, request.stops
                    )
                    completion.extra["temperature"] = request.sampling_params.temperature
                    file.append(completion)
                    tokens += len(sample.tokens)
                file.flush()
                bar.update(len(samples))
                rate = tokens / max(bar.format_dict["elapsed"], 1e-9)
                bar.set_postfix_str(f"{rate:.0f} tokens/s, rows {engine.occupancy:.0%} busy")


def _in_order(batches: Iterable[list[Sample]], requests: list[Request]) -> Iterator[list[Sample]]:
    """Holds samples back until all before them are finished."""
    waiting = collections.deque((r.id, index) for r in requests for index in r.samples)
    finished: dict[tuple[str, int], Sample] = {}
    for samples in batches:
        finished |= {(sample.request_id, sample.sample_index): sample for sample in samples}
        ready = []
        while waiting and waiting[0] in finished:
            ready.append(finished.pop(waiting.popleft()))
        yield ready


def to_completion(
    sample: Sample, tokenizer: Tokenizer, eos_ids: Sequence[int], stops: Sequence[str]
) -> Completion:
    """A sample as a record, its text up to the stop string."""
    tokens = sample.tokens.tolist()
    total = float(sample.logprobs.astype("float64").sum())
    return Completion(
        task_id=sample.request_id,
        completion=detokenize(
            tokens,
            tokenizer.token_bytes,
            eos_ids=eos_ids,
            stops=stops,
            skip=sample.tail_bytes,
        ),
        sample_index=sample.sample_index,
        mean_logprob=total / len(tokens) if len(tokens) else None,
        sum_logprob=total,
        tokens=len(tokens),
        finish_reason=sample.finish_reason,
    )


def format_output(output: str, step: int, temperature: float, setting: str = "output") -> str:
    """The output's path, its {step} and {temperature} filled in.

    Raises:
      InputError: another name in braces, or a brace alone.
    """
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(output)}
        if names <= {None, "step", "temperature"}:
            return output.format(step=step, temperature=temperature)
        raise ValueError(names)
    except (LookupError, ValueError, AttributeError, TypeError):
        raise InputError(
            f"{setting} is {output}; set it to a name whose braces are {{step}} or {{temperature}}"
        ) from None


def _fingerprint(request: Request, default: Request, params: SamplingParams) -> str:
    """A hash of a line's prompt and of the settings in which it differs from the run's."""
    default = default._replace(sampling_params=params)
    names = ("sampling_params", "seed", "max_new_tokens", "stops")
    values = {name: getattr(request, name) for name in names}
    own = {name: repr(v) for name, v in values.items() if v != getattr(default, name)}
    content = json.dumps([list(request.tokens), request.healed, own], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _remaining(requests: list[Request], done: set[tuple[str, int]]) -> Iterator[Request]:
    """Requests for the samples that are not done."""
    for request in requests:
        missing = [index for index in request.samples if (request.id, index) not in done]
        if missing:
            yield request._replace(samples=missing)


def _removed(request: Request) -> Sequence[int]:
    """The prompt's tokens that are sampled anew."""
    return request.tokens[len(request.context) :]


def _max_new_tokens(request: Request) -> int:
    assert request.max_new_tokens is not None  # a run's requests have a limit
    return request.max_new_tokens


def longest_prompt(requests: list[Request], config: dict[str, Any]) -> int:
    """The number of tokens of the longest prompt.

    Raises:
      InputError: a prompt that the model can't complete, or a bias of a token that it hasn't.
    """
    limit, vocab_size = config["max_length"], config["vocab_size"]
    for request in requests:
        if len(request.tokens) >= limit:
            raise InputError(
                f"{request.id}: prompt of {len(request.tokens)} tokens; the model's max_length is "
                f"{limit}; leave it out, or make it shorter"
            )
        if len(request.tokens) + _max_new_tokens(request) > limit:
            raise InputError(
                f"{request.id}: prompt of {len(request.tokens)} tokens and max_new_tokens = "
                f"{request.max_new_tokens} exceed the model's max_length {limit}; set "
                "max_new_tokens lower"
            )
        biased = request.sampling_params.logit_bias or ()
        check_tokens(biased, vocab_size, where=f"{request.id}: logit_bias")
        try:
            check_tokens(request.tokens, vocab_size, where=f"{request.id}: prompt")
        except InputError as error:
            raise InputError(f"{error}; this model can't infill (leave suffix out)") from None
    return max(len(request.tokens) for request in requests)
