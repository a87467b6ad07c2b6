"""The verb `data`: corpus → cleaned and tokenized parts → packed rows in TensorStore."""

import dataclasses
import hashlib
import json
import pathlib
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

from codex_jax import InputError
from codex_jax.data import stats
from codex_jax.data.assemble import Assembly
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.corpus import Corpus, Survey, read_corpus, survey
from codex_jax.data.explain import explain_file
from codex_jax.data.packing.row_store import Meta, read_meta
from codex_jax.data.shards.shards import Job, Part, page_of, parts_of
from codex_jax.data.shards.worker_pool import cores, make_all
from codex_jax.progress import bar
from codex_jax.tokenizer import Tokenizer

_SMALL = 32_000_000  # bytes of source for which no process is worth its start
_FORMAT = "codex_jax parts 1"


def build(
    *,
    corpus: Corpus,
    tokenizer: pathlib.Path | str,
    output: pathlib.Path | str,
    sequence_length: int,
    boundary_rate: float = 0.1,
    cleaning: Cleaning = Cleaning(),
    seqio_tasks: Sequence[str] = (),
    task_modules: Sequence[str] = (),
    seed: int = 0,
    workers: int | None = None,
    explain: str = "",
) -> Meta | None:
    """Packs a corpus into rows of tokens for training.

    Does nothing where `output` was already built from the same files and settings. A build that was
    killed leaves a folder partial-NAME; the next one, from the same files and settings, cleans and
    tokenizes what isn't there yet, and its cache is the one that would have been.

    Args:
      corpus: named directory trees, {"name": path} or {"name": (path, weight)}.
      tokenizer: the JSON file that `tokenizer` wrote.
      output: the cache directory to write.
      sequence_length: tokens in a row.
      boundary_rate: share of the newline+indent tokens split in two, so prompts may end in between.
      cleaning: filters, duplicates, licences, secrets, problems to keep out.
      seqio_tasks: Tasks of your own to pack as well, by name, as they are.
      task_modules: Python modules that register them.
      seed: of the choice of boundaries and of infilling's cuts.
      workers: processes that clean and tokenize, 0 for none; one for each core by default. The
        cache doesn't depend on them.
      explain: a file of the corpus: prints why it is or isn't in the cache, builds nothing.

    Returns:
      The cache's page: fingerprint, counts for each source, fill rate; None after explaining.

    Raises:
      InputError: a directory or the tokenizer is missing or unusable, or no file is usable.
    """
    if sequence_length < 2:
        raise InputError(f"sequence_length is {sequence_length}; expected at least 2")
    if not 0 <= boundary_rate <= 1:
        raise InputError(f"boundary_rate is {boundary_rate}; expected 0 to 1")
    output, trees, ids = pathlib.Path(output), read_corpus(corpus), Tokenizer.load(tokenizer)
    if explain:
        print(explain_file(pathlib.Path(explain), trees, cleaning, output))
        return None
    parameters = {
        "sequence_length": sequence_length,
        "boundary_rate": boundary_rate,
        "cleaning": json.loads(json.dumps(dataclasses.asdict(cleaning))),
        "seqio_tasks": list(seqio_tasks),
        "task_modules": list(task_modules),
        "seed": seed,
    }
    partial = output.with_name("partial-" + output.name)
    job = Job(trees, str(tokenizer), cleaning, boundary_rate, seed, str(partial / "parts"))
    return _build(job, ids, parameters, output, workers)


def _build(
    job: Job, ids: Tokenizer, parameters: dict[str, Any], output: pathlib.Path, workers: int | None
) -> Meta:
    found = survey(job.trees, job.cleaning.against)
    state = _state(parameters, ids, found)
    partial = pathlib.Path(job.folder).parent
    if (done := _finished(output)) and done.state == state:
        shutil.rmtree(partial, ignore_errors=True)
        print(f"data: {output} is up to date")
        return done
    _begin(partial, state)
    names = _make_parts(job, found, workers)
    meta = Assembly(job, ids, parameters).run(names, partial / "cache", state)
    shutil.rmtree(output, ignore_errors=True)
    (partial / "cache").replace(output)
    shutil.rmtree(partial)
    print(stats.describe(meta))
    return meta


def _state(parameters: dict[str, Any], tokenizer: Tokenizer, found: Survey) -> str:
    page = json.dumps([_FORMAT, parameters, tokenizer.hash, found.state], sort_keys=True)
    return hashlib.sha256(page.encode()).hexdigest()


def _finished(output: pathlib.Path) -> Meta | None:
    try:
        return read_meta(output)
    except InputError:
        return None


def _begin(partial: pathlib.Path, state: str) -> None:
    """An empty folder for this state, or what a killed build of the same state left there."""
    mark = partial / "state"
    if not mark.is_file() or mark.read_text("utf-8") != state:
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "parts").mkdir(parents=True)
        mark.write_text(state, "utf-8")


def _make_parts(job: Job, found: Survey, workers: int | None) -> list[str]:
    """Makes the parts that aren't there; returns the names of all, in their order."""
    names = []
    if workers is None:
        workers = cores() if found.bytes > _SMALL else 0
    with bar(desc="data", total=found.files, unit="file") as progress:

        def missing() -> Iterator[Part]:
            for part in parts_of(job.trees):
                names.append(part.name)
                if not page_of(pathlib.Path(job.folder), part.name).is_file():
                    yield part
                else:
                    progress.update(len(part.entries))

        for part in make_all(job, missing(), workers):
            progress.update(len(part.entries))
    return names
