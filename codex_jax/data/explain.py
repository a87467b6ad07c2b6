"""The command `explain`, and `data --explain`: why a file is or isn't in the corpus."""

import os
import pathlib
from collections.abc import Mapping

from codex_jax import InputError
from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning
from codex_jax.data.corpus import CONTAINERS, SourceTree, list_files
from codex_jax.data.packing.row_store import DROPPED
from codex_jax.data.skipped_folders import SKIPPED_FOLDERS, is_skipped
from codex_jax.progress import printable


def explain(
    *,
    file: pathlib.Path | str,
    cleaning: Cleaning = Cleaning(),
) -> str:
    """Prints each step's result for one file, and returns the page.

    Duplicates can't show here, because they are between files.

    Args:
      file: a source file, or a container of them.
      cleaning: the steps, as for `data`.

    Raises:
      InputError: there is no such file, or it is in no language of the table.
    """
    file = pathlib.Path(file)
    _check_is_file(file)
    tree = SourceTree(path=str(file.parent), languages=("*",), open=CONTAINERS)
    page = _check_table(tree, file.name, cleaning)
    if not page:
        raise InputError(f"{file}: in no language of the table; see codex_jax/data/languages.py")
    page = "\n".join([page, *_skipped_lines(file)])
    print(page)
    return page


def _skipped_lines(file: pathlib.Path) -> list[str]:
    """Returns a line for the innermost folder around the file that a corpus above it leaves out."""
    for folder in file.absolute().parents:
        is_readable = os.access(folder.parent, os.R_OK)
        siblings = [path.name for path in folder.parent.iterdir()] if is_readable else []
        if is_skipped(folder, siblings, SKIPPED_FOLDERS):
            verdict = f"{'skipped folder':<20} DROPPED  below {folder.name}, by default"
            return [printable(f"{file.name:<40} {verdict}".replace("\n", "\\n"))]
    return []


def explain_file(
    file: pathlib.Path, trees: Mapping[str, SourceTree], cleaning: Cleaning, rows: pathlib.Path
) -> str:
    """Returns the page about a file of a corpus: its checks in each tree, and the last build's.

    Raises:
      InputError: there is no such file, or no tree has it.
    """
    _check_is_file(file)
    absolute = file.absolute()
    lines = []
    for name, tree in trees.items():
        root = pathlib.Path(tree.path).absolute()
        if not absolute.is_relative_to(root):
            continue
        relative = absolute.relative_to(root).as_posix()
        lines.append(printable(f"{name}: {relative}"))
        if relative not in {entry.path for entry in list_files(tree)}:
            lines.append("not selected: see the tree's languages, open, exclude and skip_folders")
            continue
        lines.append(_check_table(tree, relative, cleaning) or "in no selected language")
        lines += _dropped_lines(rows, name, relative)
    if not lines:
        raise InputError(f"{file}: in none of the corpus's directories; expected one below them")
    return "\n".join(lines)


def _check_is_file(file: pathlib.Path) -> None:
    if file.is_dir() or not os.path.lexists(file):
        raise InputError(f"{file}: no such file; set a source file, an archive or a notebook")


def _check_table(tree: SourceTree, name: str, cleaning: Cleaning) -> str:
    lines = []
    for path, check in Cleaner(cleaning).explain(tree, name):
        verdict = "stays" if check.passed else "DROPPED"
        line = f"{path:<40} {check.step:<20} {verdict:<8} {check.value}"
        lines.append(printable(line.replace("\n", "\\n")))
    return "\n".join(lines)


def _dropped_lines(rows: pathlib.Path, name: str, relative: str) -> list[str]:
    """Returns the last build's reasons to drop this file, or what is in it."""
    try:
        lines = (rows / DROPPED).read_text("utf-8").splitlines()
    except OSError:
        return []
    prefix = f"{name}\t{relative!r}\t"
    dropped = [line.split("\t")[1:] for line in lines if line.startswith(prefix)]
    return [f"{path:<40} {'in ' + rows.name:<20} DROPPED  {reason}" for path, reason in dropped]
