"""The command `data`: corpus → cleaned and tokenized shards → packed rows in TensorStore."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from codex_jax import InputError, ranges
from codex_jax.data.assemble import Assembler
from codex_jax.data.blend import Blend, check_cleaning, read_blend
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.corpus import Corpus, Scan, scan
from codex_jax.data.destination import BuildFolders
from codex_jax.data.examples.problem_examples import ProblemFiles
from codex_jax.data.explain import explain_file
from codex_jax.data.packing.pack import check_sequence_length
from codex_jax.data.packing.row_store import RowsInfo, read_info
from codex_jax.data.seqio_tasks.lazy_import import load_cached_task, load_task_shards
from codex_jax.data.shards.shards import BuildSpec, Shard, manifest_path, plan_shards
from codex_jax.data.shards.worker_pool import available_cpus, build_shards
from codex_jax.data.stats import describe
from codex_jax.list_settings import split_names
from codex_jax.progress import bar
from codex_jax.tokenizer import Tokenizer

_SMALL = 32_000_000  # bytes of source for which no process is worth its start
_FORMAT = "codex_jax shards 3"


def build(
    *,
    corpus: Corpus | None = None,
    mixture: str = "",
    modules: Sequence[str] | str = (),
    rates: Mapping[str, float] | None = None,
    cached: str = "",
    problems: Sequence[str] = (),
    validation_share: float = 0.05,
    tokenizer: pathlib.Path | str,
    output: pathlib.Path | str,
    sequence_length: int,
    indent_split_rate: float = 0.1,
    cleaning: Cleaning = Cleaning(),
    seed: int = 0,
    workers: int | None = None,
    explain: str = "",
) -> RowsInfo | None:
    """Packs a Task or Mixture of seqio's registry into rows of tokens for training.

    A mixture's rates are shares of tokens. OUTPUT/validation gets the validation split.
    Does nothing where `output` was already built from the same files and settings. A build that was
    killed leaves a folder partial-NAME, with which the next one goes on. Neither changes the rows.

    Args:
      corpus: directory trees, each a Task of its name: {"name": path} or {"name": (path, weight)}.
      mixture: name of a seqio Task or Mixture; by default all of corpus.
      modules: Python modules that register it.
      rates: Task → share of the tokens; makes of corpus's and the modules' Tasks the mixture.
      cached: folder that `data cache` wrote by the same settings; takes the place of the sources.
      problems: files of problems in HumanEval's fields; they are the Tasks codex_s and codex_d.
      validation_share: share of the problems' packages that is the validation split.
      tokenizer: the JSON file that `tokenizer` wrote.
      output: the folder of rows to write.
      sequence_length: tokens in a row.
      indent_split_rate: share of newline+indent tokens split in two, where prompts may end.
      cleaning: filters, duplicates, licenses, secrets, problems to keep out.
      seed: of the choice of newline+indent tokens and of infilling's cuts.
      workers: processes that clean and tokenize, 0 for none; by default one for each CPU.
      explain: a file of the corpus: prints why it is or isn't in the rows, builds nothing.

    Returns:
      The rows' metadata: fingerprint, counts for each source, fill rate; None after explaining.

    Raises:
      InputError: a directory or the tokenizer is missing or unusable, or no file is usable.
    """
    _check(sequence_length, indent_split_rate, workers, cached, cleaning, seed)
    ids = Tokenizer.load(tokenizer)
    files = _to_files(problems, validation_share, sequence_length)
    blend = read_blend(corpus, mixture, modules, ids, rates=rates, cached=cached, problems=files)
    if explain:
        print(explain_file(pathlib.Path(explain), blend.trees, cleaning, pathlib.Path(output)))
        return None
    check_cleaning(cleaning, blend, cached)
    folders = BuildFolders(output)
    parameters = _list_settings(sequence_length, indent_split_rate, cleaning, mixture, blend, seed)
    row = (cleaning, indent_split_rate, seed, str(folders.shards), sequence_length)
    spec = BuildSpec(blend.trees, str(tokenizer), *row, tuple(blend.task_hashes))
    return _build(spec, ids, parameters, folders, workers, blend)


def _to_files(
    problems: Sequence[str], validation_share: float, sequence_length: int
) -> ProblemFiles | None:
    paths = split_names("problems", problems)
    files = ProblemFiles(
        paths=paths, validation_share=validation_share, sequence_length=sequence_length
    )
    return files if paths else None


def _list_settings(
    sequence_length: int,
    indent_split_rate: float,
    cleaning: Cleaning,
    mixture: str,
    blend: Blend,
    seed: int,
) -> dict[str, Any]:
    """Returns the settings that the rows' fingerprint holds."""
    return {
        "sequence_length": sequence_length,
        "indent_split_rate": indent_split_rate,
        "cleaning": json.loads(json.dumps(dataclasses.asdict(cleaning))),
        "mixture": mixture,
        "modules": blend.module_hashes,
        "rates": dict(blend.rates),
        "seed": seed,
    }


def _check(
    sequence_length: int,
    indent_split_rate: float,
    workers: int | None,
    cached: str,
    cleaning: Cleaning,
    seed: int,
) -> None:
    check_sequence_length(sequence_length)
    ranges.check("data.build", {"workers": workers}, {"workers": ranges.workers(is_optional=True)})
    if not 0 <= indent_split_rate <= 1:
        raise InputError(f"indent_split_rate is {indent_split_rate}; expected 0 to 1")
    if cached:
        load_cached_task().check_cache(cached, sequence_length, cleaning, seed)


def _build(
    spec: BuildSpec,
    ids: Tokenizer,
    parameters: dict[str, Any],
    folders: BuildFolders,
    workers: int | None,
    blend: Blend,
) -> RowsInfo:
    files = scan(spec.trees, spec.cleaning.decontaminate_against)
    state = _hash_inputs(parameters, ids, files, blend.task_hashes)
    if (finished := _read_finished(folders.output)) and finished.state == state:
        folders.remove_partial()
        print(f"data: {folders.output} is up to date")
        return finished
    folders.prepare(state)
    names = _build_missing(spec, files, workers) if spec.trees else []
    if spec.tasks:
        names += load_task_shards().build_task_shards(spec)
    info = Assembler(spec, ids, parameters, blend.rates).run(names, folders.rows, state)
    folders.finish()
    print(describe(info))
    return info


def _hash_inputs(
    parameters: dict[str, Any], tokenizer: Tokenizer, files: Scan, tasks: Mapping[str, str]
) -> str:
    inputs = [_FORMAT, parameters, tokenizer.hash, files.state, dict(tasks)]
    page = json.dumps(inputs, sort_keys=True)
    return hashlib.sha256(page.encode()).hexdigest()


def _read_finished(output: pathlib.Path) -> RowsInfo | None:
    try:
        return read_info(output)
    except InputError:
        return None


def _build_missing(spec: BuildSpec, files: Scan, workers: int | None) -> list[str]:
    """Builds the shards that aren't there; returns the names of all, in their order."""
    names = []
    if workers is None:
        workers = available_cpus() if files.bytes > _SMALL else 0
    with bar(desc="data", total=files.files, unit="file") as progress:

        def missing() -> Iterator[Shard]:
            for shard in plan_shards(spec.trees):
                names.append(shard.name)
                if not manifest_path(pathlib.Path(spec.folder), shard.name).is_file():
                    yield shard
                else:
                    progress.update(len(shard.entries))

        for shard in build_shards(spec, missing(), min(workers, files.files)):
            progress.update(len(shard.entries))
    return names
