"""Jupyter notebooks: each run of markdown cells, matched to the code cells that follow it."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from codex_jax.data.documents import Pair
from codex_jax.data.languages import language_named
from codex_jax.data.readers.notebook_magics import read_cell


class NotANotebookError(Exception):
    """The content isn't a notebook in a language of the table; the message is the reason."""


class _Cell(NamedTuple):
    """A cell's source; `language` is None for prose."""

    source: str
    language: str | None


def read_notebook(content: bytes) -> list[Pair]:
    """Returns pairs of prose and code; prose is empty where code comes first.

    A cell that begins with a cell magic, such as %%bash, has that magic's language, and is left out
    where it has none of the table.

    Raises:
      NotANotebookError: it isn't a notebook of format 2 to 4, or its language isn't in the table.
    """
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
        cells = _cells(notebook)
        language = _language(notebook, cells)
        read_cells = list(_read_cells(cells, language or "Python"))
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        raise NotANotebookError("not a notebook") from None
    if language is None:
        raise NotANotebookError("unknown language")
    return list(_pairs(read_cells))


def _cells(notebook: Any) -> list[dict[str, Any]]:
    """Returns the cells, which formats 2 and 3 put in worksheets."""
    if "worksheets" in notebook:
        return [cell for sheet in notebook["worksheets"] for cell in sheet["cells"]]
    if not isinstance(notebook["cells"], list):
        raise ValueError("no list of cells")
    return notebook["cells"]


def _language(notebook: dict[str, Any], cells: list[dict[str, Any]]) -> str | None:
    """Returns the language that the kernel, its specification or a cell names; else Python."""
    metadata = notebook.get("metadata", {})
    info, kernel = metadata.get("language_info", {}), metadata.get("kernelspec", {})
    words = [info.get("name"), kernel.get("language"), kernel.get("name")]
    words += [*(kernel.get("display_name") or "").split()[:1], metadata.get("language")]
    words += [cell.get("language") for cell in cells if cell["cell_type"] == "code"][:1]
    named = [str(word) for word in words if word]
    return next(filter(None, map(language_named, named)), None if named else "Python")


def _read_cells(cells: list[dict[str, Any]], language: str) -> Iterator[_Cell]:
    for cell in cells:
        source = cell.get("source", cell.get("input")) or ""
        text = "".join(source if isinstance(source, list) else [source])
        if cell["cell_type"] in ("markdown", "heading"):
            level = cell.get("level")
            marks = "#" * min(level, 6) + " " if isinstance(level, int) else ""
            yield _Cell(marks + text, None)
        elif cell["cell_type"] == "code":
            own_language = language_named(str(cell.get("language") or "")) or language
            code, code_language = read_cell(text, own_language)
            if code_language and code.strip():
                yield _Cell(code, code_language)


def _pairs(cells: Iterable[_Cell]) -> Iterator[Pair]:
    """Yields a pair for each run of cells and language; the words go with the first language."""
    prose: list[str] = []
    code: dict[str, list[str]] = {}
    for cell in cells:
        if cell.language is None and code:
            yield from _run_pairs(prose, code)
            prose, code = [], {}
        if cell.language is None:
            prose.append(cell.source)
        else:
            code.setdefault(cell.language, []).append(cell.source)
    yield from _run_pairs(prose, code)


def _run_pairs(prose: list[str], code: dict[str, list[str]]) -> Iterator[Pair]:
    for number, (language, sources) in enumerate(code.items()):
        yield Pair("" if number else "\n\n".join(prose), "\n\n".join(sources), language)
