"""Stack Exchange's Posts.xml: questions matched to the code of their accepted answers."""

import html.parser
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple
from xml.etree import ElementTree

from codex_jax.data.documents import Pair
from codex_jax.data.languages import language_named
from codex_jax.data.readers.json_lines import skip_line


class _Blocks(html.parser.HTMLParser):
    """Splits a post's HTML into words and code blocks."""

    def __init__(self, source: str):
        super().__init__()
        self.words: list[str] = []
        self.code: list[str] = []
        self._inside = False
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:  # noqa: ARG002 (the library's)
        if tag == "pre":
            self._inside = True
            self.code.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "pre"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.code[-1] += data
        else:
            self.words.append(data)


class Post(NamedTuple):
    """A question with its accepted answer's code, or the reason why a row was passed over."""

    name: str
    pair: Pair | None = None
    reason: str = ""


def read_posts(stream: BinaryIO, longest: int) -> Iterator[Post]:
    """Yields each question with an accepted answer that has code, and each row that is unreadable.

    Streams the file, which is in the order of time: a question comes before its answers, and waits
    in memory for the accepted one. A row over `longest` bytes is passed over.
    """
    questions: dict[str, tuple[str, str]] = {}
    for number, (row, reason) in enumerate(_rows(stream, longest), 1):
        name = row.get("Id") or f"row {number}"
        try:
            pair = None if reason else _match(row, questions)
        except AssertionError:  # html.parser's, at a declaration that it doesn't know
            yield Post(name, reason="broken HTML")
            continue
        if reason or pair:
            yield Post(name, pair, reason)


def _match(post: dict[str, str], questions: dict[str, tuple[str, str]]) -> Pair | None:
    """Returns the pair that an accepted answer completes; remembers questions."""
    if post.get("PostTypeId") == "1" and post.get("AcceptedAnswerId"):
        language = _language(post.get("Tags", ""))
        if language:
            words = "".join(_Blocks(post.get("Body", "")).words)
            prose = f"{post.get('Title', '')}\n\n{words}".strip()
            questions[post["AcceptedAnswerId"]] = (prose, language)
    elif post.get("PostTypeId") == "2" and post.get("Id") in questions:
        prose, language = questions.pop(post["Id"])
        if code := "\n".join(_Blocks(post.get("Body", "")).code).strip("\n"):
            return Pair(prose, code, language)
    return None


def _rows(lines: BinaryIO, longest: int) -> Iterator[tuple[dict[str, str], str]]:
    """Yields the attributes of each row, or why it has none.

    A row begins at a line of its own, as in every dump, so that a broken one costs itself alone.
    """
    row, line, is_complete = b"", b"", False
    while line := lines.readline(longest):
        if len(line) == longest and not line.endswith(b"\n"):
            is_complete = not skip_line(lines, longest)
            row = b""
            yield {}, "too large"
            continue
        start, is_complete = line.find(b"<row"), is_complete or b"</posts>" in line
        if row and start >= 0 and not line[:start].strip():
            yield {}, "broken XML"  # the one before has no end
            row = b""
        row = row + line if row else line[start:] if start >= 0 else b""
        if len(row) > longest:
            yield {}, "too large"
            row = b""
        elif row.rstrip().removesuffix(b"</posts>").endswith(b"/>"):
            yield from _parse(row)
            row = b""
    if row or not is_complete:
        yield {}, "broken XML"


def _parse(row: bytes) -> Iterator[tuple[dict[str, str], str]]:
    text = row.rstrip().removesuffix(b"</posts>")
    try:
        elements = list(ElementTree.fromstring(b"<posts>" + text + b"</posts>"))
    except (ElementTree.ParseError, ValueError):
        yield {}, "broken XML"
        return
    yield from ((dict(element.attrib), "") for element in elements)


def _language(tags: str) -> str | None:
    names = tags.replace("><", "|").strip("<>|").split("|")
    return next(filter(None, map(language_named, names)), None)
