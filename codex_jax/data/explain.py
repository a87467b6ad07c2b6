"""Why one file would or wouldn't be in the corpus: the verb `explain`, and `data --explain`."""

import pathlib
from collections.abc import Mapping

from codex_jax import InputError
from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning
from codex_jax.data.corpus import CONTAINERS, Tree, list_files
from codex_jax.data.packing.row_store import DROPPED


def explain(
    *,
    file: pathlib.Path | str,
    cleaning: Cleaning = Cleaning(),
) -> str:
    """Prints each step's finding about one file, and returns the page.

    Duplicates can't show here: they are a matter between files.

    Args:
      file: a source file, or a container of them.
      cleaning: the steps, as for `data`.

    Raises:
      InputError: there is no such file, or it is in no language of the table.
    """
    file = pathlib.Path(file)
    _must_be_a_file(file)
    tree = Tree(path=str(file.parent), languages=("*",), containers=CONTAINERS)
    page = _findings(tree, file.name, cleaning)
    if not page:
        raise InputError(f"{file}: in no language we know; see the table of languages")
    print(page)
    return page


def explain_file(
    file: pathlib.Path, trees: Mapping[str, Tree], cleaning: Cleaning, cache: pathlib.Path
) -> str:
    """The page about a file of a corpus: its steps in each tree, and what the last build said.

    Raises:
      InputError: there is no such file, or no tree has it.
    """
    _must_be_a_file(file)
    place = file.absolute()
    lines = []
    for name, tree in trees.items():
        root = pathlib.Path(tree.path).absolute()
        if not place.is_relative_to(root):
            continue
        relative = place.relative_to(root).as_posix()
        lines.append(f"{name}: {relative}")
        if relative not in {entry.path for entry in list_files(tree)}:
            lines.append("not selected: see the tree's languages, containers and exclude")
            continue
        lines.append(_findings(tree, relative, cleaning) or "in no wanted language")
        lines += _said(cache, name, relative)
    if not lines:
        raise InputError(f"{file}: in none of the corpus's directories; expected one below them")
    return "\n".join(lines)


def _must_be_a_file(file: pathlib.Path) -> None:
    if not file.is_file():
        raise InputError(f"{file}: no such file; give a source file, an archive or a notebook")


def _findings(tree: Tree, name: str, cleaning: Cleaning) -> str:
    lines = []
    for path, found in Cleaner(cleaning).explain(tree, name):
        verdict = "stays" if found.stays else "DROPPED"
        lines.append(f"{path:<40} {found.step:<20} {verdict:<8} {found.found}")
    return "\n".join(lines)


def _said(cache: pathlib.Path, name: str, relative: str) -> list[str]:
    """What the cache's list of dropped files says of this one, or of what is in it."""
    try:
        lines = (cache / DROPPED).read_text("utf-8").splitlines()
    except OSError:
        return []
    about = [line.split("\t")[1:] for line in lines if line.startswith(f"{name}\t{relative!r}\t")]
    return [f"{path:<40} {'in ' + cache.name:<20} DROPPED  {reason}" for path, reason in about]
