"""Jupyter notebooks: each run of markdown cells, matched to the code cells that follow it."""

import json
from collections.abc import Iterator

import nbformat

from codex_jax.data.documents import Pair
from codex_jax.data.languages import LANGUAGES

_NAMES = {name.lower(): name for name in LANGUAGES}


class NotANotebookError(Exception):
    """The content isn't a notebook in a language of the table."""


def read_notebook(content: bytes) -> list[Pair]:
    """Returns pairs of prose and code; prose is empty where code comes first.

    Raises:
      NotANotebookError: it isn't JSON, not a notebook, or its language isn't in the table.
    """
    try:
        notebook = nbformat.reads(content.decode("utf-8"), as_version=4)
        language = notebook.metadata.get("kernelspec", {}).get("language") or "python"
        cells = [(cell.cell_type, cell.source) for cell in notebook.cells]
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise NotANotebookError(str(error).splitlines()[0][:80]) from None
    except (nbformat.ValidationError, json.JSONDecodeError) as error:
        raise NotANotebookError(str(error).splitlines()[0][:80]) from None
    if language.lower() not in _NAMES:
        raise NotANotebookError(f"language {language}")
    return list(_pairs(cells, _NAMES[language.lower()]))


def _pairs(cells: list[tuple[str, str]], language: str) -> Iterator[Pair]:
    prose: list[str] = []
    code: list[str] = []
    for cell_type, source in cells:
        if cell_type == "markdown" and code:
            yield Pair("\n\n".join(prose), "\n\n".join(code), language)
            prose, code = [], []
        if cell_type == "markdown":
            prose.append(source)
        elif cell_type == "code":
            code.append(_drop_magics(source, language))
    if code:
        yield Pair("\n\n".join(prose), "\n\n".join(code), language)


def _drop_magics(source: str, language: str) -> str:
    """Returns the source without the notebook's own commands, which aren't the language's."""
    if language != "Python":
        return source
    lines = source.splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!", "?")))
