"""Progress: a bar with rate and time left on a terminal, else a line per interval.

Also text of strangers' files, made safe to print.
"""

import re
import sys
from collections.abc import Iterable

from tqdm import tqdm

_INTERVAL_S = 10.0
# Controls but for tab and newline; marks that reverse text; halves of surrogate pairs.
_UNPRINTABLE = re.compile(
    r"[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Returns text with its control characters spelled out, so that a terminal obeys none."""
    return _UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], text)


class _Lines:
    """A file for tqdm that ends each redraw with a newline, so that logs stay readable."""

    def write(self, text: str) -> None:
        """Writes the bar's present state as a line."""
        if text.strip():
            sys.stderr.write(text.strip("\r\n") + "\n")

    def flush(self) -> None:
        """Flushes standard error."""
        sys.stderr.flush()


class _TimedBar(tqdm):
    """A bar that is redrawn by the interval only, not by a new postfix."""

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        """Sets the text after the bar, without a redraw."""
        del refresh
        super().set_postfix_str(s, refresh=False)


def bar(
    items: Iterable | None = None,
    *,
    desc: str,
    total: int | None = None,
    unit: str = "it",
    done: int = 0,
) -> tqdm:
    """A tqdm over `items`, or one to be advanced by .update.

    Args:
      items: iterated over, if given.
      desc: text before the bar.
      total: number of items.
      unit: name of an item.
      done: items that a resumed job had finished before.
    """
    on_terminal = sys.stderr.isatty()
    bar_class = tqdm if on_terminal else _TimedBar
    return bar_class(
        items,
        desc=desc,
        total=total,
        unit=unit,
        initial=done,
        unit_scale=True,
        dynamic_ncols=True,
        ascii=None if on_terminal else " .",
        mininterval=0.1 if on_terminal else _INTERVAL_S,
        file=sys.stderr if on_terminal else _Lines(),
    )
