"""The command `data cache`: cleaning and tokenizing on Apache Beam: here, Dataflow, Flink or Spark.

The outcome is a set of TFRecord files for each source and split, whose content and order depend on
the corpus alone: examples are grouped by a hash of their key and sorted inside each file.
`data build --cached=FOLDER` packs them.
"""

import collections
import dataclasses
import pathlib
import types
from collections.abc import Mapping, Sequence
from typing import Any

from codex_jax import InputError, ranges
from codex_jax.data.blend import check_cleaning, read_blend
from codex_jax.data.cache_folder import claim_cache, describe
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.corpus import Corpus, no_usable_file_error
from codex_jax.data.packing.pack import check_sequence_length
from codex_jax.data.seqio_tasks.lazy_import import load_beam_cache
from codex_jax.data.stats import FileStats, add_count, count_source, describe_sources
from codex_jax.tokenizer import Tokenizer

_FILES = ranges.integer(1, 100_000)  # each is a file that a worker sorts


def cache_on_beam(
    *,
    corpus: Corpus | None = None,
    mixture: str = "",
    modules: Sequence[str] | str = (),
    tokenizer: pathlib.Path | str,
    output: str,
    cleaning: Cleaning = Cleaning(),
    files: int = 16,
    sequence_length: int = 2048,
    seed: int = 0,
    options: Sequence[str] = (),
) -> dict[str, dict[str, Any]]:
    """Cleans and tokenizes a corpus, or the members of a Mixture, on Beam.

    Exact duplicates are looked for in all trees that are rendered alike, near ones nowhere. The
    cache of an earlier run is replaced once the new one is whole.

    Args:
      corpus: named directory trees, at paths that every worker can read; or set mixture.
      mixture: name of a seqio Task or Mixture; a mixture's rates count in `data build`.
      modules: Python modules that register it, which every worker can import.
      tokenizer: the JSON file that `tokenizer` wrote, at such a path too.
      output: folder to write, in any file system that Beam and TensorFlow know.
      cleaning: filters, exact duplicates, licenses, secrets, problems to keep out.
      files: how many TFRecord files for each source and split; each must fit a worker's memory.
      sequence_length: tokens in a row, in which each infilled text fits.
      seed: of infilling's cuts, and of the documents that a fraction of a weight takes.
      options: Beam's own, such as "--runner=FlinkRunner"; none runs it here.

    Returns:
      The counts of each source, as the rows' metadata have them.

    Raises:
      InputError: a directory or the tokenizer is missing, no file is usable, or a setting or
        option is none that Beam heeds.
    """
    _check(cleaning, files, sequence_length)
    claim_cache(output)
    ids = Tokenizer.load(tokenizer)
    blend = read_blend(corpus, mixture, modules, ids)
    check_cleaning(cleaning, blend)
    beam_cache = load_beam_cache()
    beam_options = beam_cache.parse_options(options)
    spec = beam_cache.CacheSpec(
        trees=blend.trees,
        tasks=tuple(blend.task_hashes),
        modules=tuple(blend.modules),
        corpus=dict(blend.corpus),
        tokenizer=str(tokenizer),
        cleaning=cleaning,
        files=files,
        seed=seed,
        sequence_length=sequence_length,
        folder="",
    )
    return _write(beam_cache, spec, beam_options, output, ids.hash)


def _check(cleaning: Cleaning, files: int, sequence_length: int) -> None:
    if cleaning.near_duplicates is not None:
        raise InputError(
            "near_duplicates is set; set it to None: Beam looks for exact duplicates only"
        )
    check_sequence_length(sequence_length)
    ranges.check("data.cache", {"files": files}, {"files": _FILES})


def _write(
    beam_cache: types.ModuleType, spec: Any, options: Any, output: str, tokenizer_hash: str
) -> dict[str, dict[str, Any]]:
    with beam_cache.CacheWriter(output) as writer:
        beam_cache.run(dataclasses.replace(spec, folder=writer.folder), options)
        sources = _sum_counts(spec.sources, writer.read_counts())
        _check_usable(sources, spec.tasks)
        settings = {
            "tokenizer_hash": tokenizer_hash,
            "sequence_length": spec.sequence_length,
            "cleaning": describe(spec.cleaning),
            "seed": spec.seed,
            "trees": {name: describe(tree) for name, tree in spec.trees.items()},
        }
        writer.finish(settings | {"sources": sources})
    print("\n".join(describe_sources(sources)))
    return sources


def _sum_counts(names: Sequence[str], counts: list[list[Any]]) -> dict[str, dict[str, Any]]:
    """Returns the counts of each source, and of its splits: texts and tokens."""
    stats = {name: FileStats(name) for name in names}
    splits = ("train", "validation")
    texts = {(name, split): 0 for name in names for split in splits}
    tokens: dict[tuple[str, str], collections.Counter[str]] = {
        key: collections.Counter() for key in texts
    }
    for source, counter, key, reason, number in counts:
        split, _, title = counter.partition(" ")
        if title == "texts":
            texts[source, split] += number
        elif title == "tokens":
            tokens[source, split][key] += number
        else:
            add_count(stats[source], counter, key, reason, number)
    return {
        name: count_source(stats[name], tokens[name, "train"], texts[name, "train"])
        | {
            "splits": {
                split: {"texts": texts[name, split], "tokens": tokens[name, split].total()}
                for split in splits
            }
        }
        for name in names
    }


def _check_usable(sources: Mapping[str, Mapping[str, Any]], tasks: Sequence[str]) -> None:
    if not any(counts["documents"] for counts in sources.values()):
        reasons = (collections.Counter(counts["dropped"]) for counts in sources.values())
        raise no_usable_file_error(sources, sum(reasons, collections.Counter()), tasks)
