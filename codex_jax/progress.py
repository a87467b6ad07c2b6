"""A bar with rate and time left when a person watches, a line per interval when nobody does."""

import sys
from collections.abc import Iterable

from tqdm import tqdm

_INTERVAL_S = 10.0


class _Lines:
    """A file for tqdm that ends each redraw with a newline, so that logs stay readable."""

    def write(self, text: str) -> None:
        if text.strip():
            sys.stderr.write(text.strip("\r\n") + "\n")

    def flush(self) -> None:
        sys.stderr.flush()


class _ByTheClock(tqdm):
    """A bar that a postfix doesn't redraw: only the interval does."""

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        super().set_postfix_str(s, refresh=False)


def bar(
    items: Iterable | None = None,
    *,
    what: str,
    total: int | None = None,
    unit: str = "it",
    done: int = 0,
) -> tqdm:
    """A tqdm over `items` (or to be moved by .update); `done` is where a resumed job begins."""
    watched = sys.stderr.isatty()
    kind = tqdm if watched else _ByTheClock
    return kind(
        items,
        desc=what,
        total=total,
        unit=unit,
        initial=done,
        unit_scale=True,
        dynamic_ncols=True,
        ascii=None if watched else " .",
        mininterval=0.1 if watched else _INTERVAL_S,
        file=sys.stderr if watched else _Lines(),
    )
