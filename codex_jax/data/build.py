"""The command `data`: corpus → cleaned and tokenized shards → packed rows in TensorStore."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from codex_jax import InputError
from codex_jax.data.assemble import Assembler
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.corpus import Corpus, Scan, read_corpus, scan
from codex_jax.data.destination import BuildFolders
from codex_jax.data.explain import explain_file
from codex_jax.data.packing.row_store import RowsInfo, read_info
from codex_jax.data.shards.shards import BuildSpec, Shard, manifest_path, plan_shards
from codex_jax.data.shards.worker_pool import available_cpus, build_shards
from codex_jax.data.stats import describe
from codex_jax.progress import bar
from codex_jax.tokenizer import Tokenizer

_SMALL = 32_000_000  # bytes of source for which no process is worth its start
_FORMAT = "codex_jax shards 1"


def build(
    *,
    corpus: Corpus,
    tokenizer: pathlib.Path | str,
    output: pathlib.Path | str,
    sequence_length: int,
    indent_split_rate: float = 0.1,
    cleaning: Cleaning = Cleaning(),
    seqio_tasks: Sequence[str] = (),
    task_modules: Sequence[str] = (),
    seed: int = 0,
    workers: int | None = None,
    explain: str = "",
) -> RowsInfo | None:
    """Packs a corpus into rows of tokens for training.

    Does nothing where `output` was already built from the same files and settings. A build that was
    killed leaves a folder partial-NAME; the next one, from the same files and settings, cleans and
    tokenizes what isn't there yet. The rows don't depend on that, nor on the number of workers.

    Args:
      corpus: named directory trees, {"name": path} or {"name": (path, weight)}.
      tokenizer: the JSON file that `tokenizer` wrote.
      output: the folder of rows to write.
      sequence_length: tokens in a row.
      indent_split_rate: share of newline+indent tokens split in two, where prompts may end.
      cleaning: filters, duplicates, licenses, secrets, problems to keep out.
      seqio_tasks: Tasks of your own to pack as well, by name, as they are.
      task_modules: Python modules that register them.
      seed: of the choice of newline+indent tokens and of infilling's cuts.
      workers: processes that clean and tokenize, 0 for none; by default one for each CPU.
      explain: a file of the corpus: prints why it is or isn't in the rows, builds nothing.

    Returns:
      The rows' metadata: fingerprint, counts for each source, fill rate; None after explaining.

    Raises:
      InputError: a directory or the tokenizer is missing or unusable, or no file is usable.
    """
    if sequence_length < 2:
        raise InputError(f"sequence_length is {sequence_length}; expected at least 2")
    if not 0 <= indent_split_rate <= 1:
        raise InputError(f"indent_split_rate is {indent_split_rate}; expected 0 to 1")
    trees, ids = read_corpus(corpus), Tokenizer.load(tokenizer)
    if explain:
        print(explain_file(pathlib.Path(explain), trees, cleaning, pathlib.Path(output)))
        return None
    folders = BuildFolders(output)
    parameters = {
        "sequence_length": sequence_length,
        "indent_split_rate": indent_split_rate,
        "cleaning": json.loads(json.dumps(dataclasses.asdict(cleaning))),
        "seqio_tasks": list(seqio_tasks),
        "task_modules": list(task_modules),
        "seed": seed,
    }
    shards = str(folders.shards)
    spec = BuildSpec(trees, str(tokenizer), cleaning, indent_split_rate, seed, shards)
    return _build(spec, ids, parameters, folders, workers)


def _build(
    spec: BuildSpec,
    ids: Tokenizer,
    parameters: dict[str, Any],
    folders: BuildFolders,
    workers: int | None,
) -> RowsInfo:
    files = scan(spec.trees, spec.cleaning.decontaminate_against)
    state = _hash_inputs(parameters, ids, files)
    if (finished := _read_finished(folders.output)) and finished.state == state:
        folders.remove_partial()
        print(f"data: {folders.output} is up to date")
        return finished
    folders.prepare(state)
    names = _build_missing(spec, files, workers)
    info = Assembler(spec, ids, parameters).run(names, folders.rows, state)
    folders.finish()
    print(describe(info))
    return info


def _hash_inputs(parameters: dict[str, Any], tokenizer: Tokenizer, files: Scan) -> str:
    page = json.dumps([_FORMAT, parameters, tokenizer.hash, files.state], sort_keys=True)
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

        for shard in build_shards(spec, missing(), workers):
            progress.update(len(shard.entries))
    return names
