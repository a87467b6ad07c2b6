"""A corpus of `fetch_corpus.py` built: the tables of its steps, seconds, and the memory it took.

    python benchmarks/build_corpus.py CORPUS OUTPUT [--against PROBLEMS.jsonl …] [--megabytes 300]

Every language, archives and notebooks opened, near duplicates over 0.85, secrets replaced,
licences told (none refused), the problems kept out; rows of 2,048. The tokenizer is learnt first,
on a part of the corpus, where OUTPUT has none. Memory is the most that any one process held. With
--megabytes only the first directories are taken, up to that much of files.
"""

import argparse
import pathlib
import resource
import time

from codex_jax.data.build import build
from codex_jax.data.cleaning.cleaner import Cleaning
from codex_jax.data.corpus import Tree, list_files
from codex_jax.data.shards.worker_pool import cores
from codex_jax.data.train_tokenizer import learn_tokenizer

# The kernel's drivers and architectures alone are more than all else together.
_EXCLUDE = ("*/drivers/*", "*/arch/*", "*/sound/*")


def main() -> None:
    """Learns, builds, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--against", nargs="*", default=[])
    parser.add_argument("--megabytes", type=float)
    parser.add_argument("--workers", type=int)
    settings = parser.parse_args()
    tokenizer = settings.output / "tokenizer.json"
    if not tokenizer.exists():
        learn_tokenizer(corpus={"python": _tree(settings.corpus / "wheel")}, output=tokenizer)
    folders = sorted(path for path in settings.corpus.glob("*/*") if path.is_dir())
    tree = _tree(settings.corpus, _beyond(settings.corpus, folders, settings.megabytes))
    start = time.monotonic()
    build(
        corpus={"registries": tree},
        tokenizer=tokenizer,
        output=settings.output / "rows",
        sequence_length=2048,
        cleaning=Cleaning(
            near_duplicates=0.85, licences=("*",), secrets=True, against=settings.against
        ),
        workers=settings.workers,
    )
    held = {who: _held(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)}
    workers = cores() if settings.workers is None else settings.workers
    print(f"{time.monotonic() - start:.0f} s, {workers} workers")
    print("at most {:.2f} GB in the build and {:.2f} GB in a worker".format(*held.values()))


def _tree(path: pathlib.Path, exclude: tuple[str, ...] = ()) -> Tree:
    return Tree(
        path=str(path),
        languages=("*",),
        containers=("archives", "notebooks"),
        exclude=(*_EXCLUDE, *exclude),
    )


def _beyond(corpus: pathlib.Path, folders: list[pathlib.Path], most: float | None) -> tuple:
    """Globs of the folders after those that together have `most` MB of source."""
    if most is None:
        return ()
    taken = 0
    for number, folder in enumerate(folders):
        if taken >= most * 1e6:
            return tuple(f"{path.relative_to(corpus)}/*" for path in folders[number:])
        taken += sum(entry.size for entry in list_files(_tree(folder)))
    return ()


def _held(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1e6  # kB on Linux


if __name__ == "__main__":
    main()
