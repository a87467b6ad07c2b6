"""Stack Exchange's Posts.xml: questions matched to the code of their accepted answers."""

import html.parser
import pathlib
from collections.abc import Iterator
from typing import cast
from xml.etree import ElementTree

from codex_jax.data.documents import Pair
from codex_jax.data.languages import LANGUAGES

_NAME_OF_TAG = {name.lower(): name for name in LANGUAGES} | {
    "python-3.x": "Python",
    "bash": "Shell",
    "shell": "Shell",
    "reactjs": "JavaScript",
}


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


def read_posts(path: pathlib.Path, longest: int) -> Iterator[tuple[str, Pair]]:
    """Yields name and pair of each question with an accepted answer that has code.

    Streams the file, which is in the order of time: a question comes before its answers, and waits
    in memory for the accepted one.

    Raises:
      ElementTree.ParseError: the XML is broken, or a line of it over `longest` bytes; the pairs
        before that have been yielded.
    """
    questions: dict[str, tuple[str, str]] = {}
    for post in _rows(path, longest):
        if post.get("PostTypeId") == "1" and post.get("AcceptedAnswerId"):
            language = _language(post.get("Tags", ""))
            if language:
                words = "".join(_Blocks(post.get("Body", "")).words)
                prose = f"{post.get('Title', '')}\n\n{words}".strip()
                questions[post["AcceptedAnswerId"]] = (prose, language)
        elif post.get("PostTypeId") == "2" and post.get("Id") in questions:
            prose, language = questions.pop(post["Id"])
            code = "\n".join(_Blocks(post.get("Body", "")).code).strip("\n")
            if code:
                yield post["Id"], Pair(prose, code, language)


def _rows(path: pathlib.Path, longest: int) -> Iterator[dict[str, str]]:
    parser: ElementTree.XMLPullParser = ElementTree.XMLPullParser(events=("start", "end"))
    root: ElementTree.Element | None = None
    with path.open("rb") as lines:
        while line := lines.readline(longest):
            if len(line) == longest and not line.endswith(b"\n"):
                raise ElementTree.ParseError(f"a line of over {longest} bytes")
            parser.feed(line)
            events = cast("Iterator[tuple[str, ElementTree.Element]]", parser.read_events())
            for event, element in events:
                root = element if root is None else root
                if event == "end" and element.tag == "row":
                    yield dict(element.attrib)
                    root.clear()
    parser.close()


def _language(tags: str) -> str | None:
    names = tags.replace("><", "|").strip("<>|").split("|")
    return next((_NAME_OF_TAG[name] for name in names if name in _NAME_OF_TAG), None)
