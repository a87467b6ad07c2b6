"""The verb `explain`: why one file would or wouldn't be in the corpus."""

import pathlib

from codex_jax import InputError
from codex_jax.data.clean import Cleaner, Cleaning
from codex_jax.data.sources import CONTAINERS, Tree


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
    if not file.is_file():
        raise InputError(f"{file}: no such file; give a source file, an archive or a notebook")
    tree = Tree(path=str(file.parent), languages=("*",), containers=CONTAINERS)
    lines = []
    for path, found in Cleaner(cleaning).explain(tree, file.name):
        verdict = "stays" if found.stays else "DROPPED"
        lines.append(f"{path:<40} {found.step:<20} {verdict:<8} {found.found}")
    if not lines:
        raise InputError(f"{file}: in no language we know; see the table of languages")
    page = "\n".join(lines)
    print(page)
    return page
