"""The command `cache`: cleaning and tokenizing on Apache Beam, here or on Dataflow, Flink or Spark.

The outcome is a set of TFRecord files for each source, whose content and order depend on the corpus
alone: examples are grouped by a hash of their key and sorted inside each file.
`beam_pipeline.add_cached_task` makes a seqio Task of them, which `data` packs like any other.
"""

import pathlib
from collections.abc import Sequence

from codex_jax import InputError
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.corpus import Corpus, read_corpus
from codex_jax.files import claim_folder, has_text
from codex_jax.tokenizer import Tokenizer


def cache_on_beam(
    *,
    corpus: Corpus,
    tokenizer: pathlib.Path | str,
    output: str,
    cleaning: Cleaning = Cleaning(),
    files: int = 16,
    sequence_length: int = 2048,
    seed: int = 0,
    options: Sequence[str] = (),
) -> None:
    """Cleans and tokenizes a corpus on Beam.

    Exact duplicates are looked for in each source; near ones only by `data`, which sees all
    documents. Files of an earlier run, however many, are replaced.

    Args:
      corpus: named directory trees, at paths that every worker can read.
      tokenizer: the JSON file that `tokenizer` wrote, at such a path too.
      output: folder to write, in any file system that Beam knows.
      cleaning: filters, exact duplicates, licenses, secrets, problems to keep out.
      files: how many TFRecord files for each source; each must fit a worker's memory.
      sequence_length: tokens in a row, in which each infilled text fits.
      seed: of infilling's cuts.
      options: Beam's own, such as "--runner=FlinkRunner"; none runs it here.

    Raises:
      InputError: a directory or the tokenizer is missing, or near_duplicates is set.
    """
    if cleaning.near_duplicates is not None:
        raise InputError("near_duplicates on Beam; expected None: let `data` find those")
    trees = read_corpus(corpus)
    if "://" not in output:
        claim_folder(output, {"*-of-[0-9]*.tfrecord*": has_text("language")}, "output")
    Tokenizer.load(tokenizer)
    from codex_jax.data.seqio_tasks.beam_pipeline import SourceSpec, run  # Beam, only where it runs

    specs = {
        name: SourceSpec(tree, str(tokenizer), cleaning, files, seed, name, sequence_length)
        for name, tree in trees.items()
    }
    run(specs, output, options)
