"""The languages we know: one row each; detection by file name or shebang, checked by parsing."""

import dataclasses
import functools
import io
import pathlib
from collections.abc import Sequence

import identify.identify
import tree_sitter
import tree_sitter_language_pack


@dataclasses.dataclass(frozen=True)
class Language:
    """`tags` are the `identify` library's; `comment` begins a line comment."""

    tags: tuple[str, ...]
    grammar: str  # tree-sitter's name
    comment: str = "//"


LANGUAGES = {
    "Python": Language(("python",), "python", "#"),
    "JavaScript": Language(("javascript", "jsx"), "javascript"),
    "TypeScript": Language(("ts", "tsx"), "tsx"),
    "Go": Language(("go",), "go"),
    "Ruby": Language(("ruby",), "ruby", "#"),
    "PHP": Language(("php",), "php"),
    "Perl": Language(("perl",), "perl", "#"),
    "Java": Language(("java",), "java"),
    "C": Language(("c",), "c"),
    "C++": Language(("c++",), "cpp"),
    "C#": Language(("c#",), "csharp"),
    "Rust": Language(("rust",), "rust"),
    "Shell": Language(("shell", "bash"), "bash", "#"),
}
NOTEBOOK = "Jupyter"  # a container: its cells' language is found inside

_OF_TAG = {tag: name for name, row in LANGUAGES.items() for tag in row.tags}


def detect(path: str, content: bytes | None = None) -> str | None:
    """The language of a file: by its name, else by its shebang; None where we don't know it.

    A .h file is C++ where it says so.
    """
    tags = identify.identify.tags_from_filename(path)
    if not tags and content and content.startswith(b"#!"):
        words = identify.identify.parse_shebang(io.BytesIO(content[:200]))
        tags = identify.identify.tags_from_interpreter(words[0]) if words else set()
    if "jupyter" in tags:
        return NOTEBOOK
    found = {_OF_TAG[tag] for tag in tags if tag in _OF_TAG}
    if len(found) > 1:
        cpp = content and any(sign in content for sign in (b"class ", b"template", b"namespace "))
        return "C++" if cpp else "C"
    return next(iter(found), None)


@functools.cache
def parser_of(language: str) -> tree_sitter.Parser:
    """tree-sitter's parser; the grammars are inside the installed package."""
    return tree_sitter_language_pack.get_parser(LANGUAGES[language].grammar)


def broken_share(text: str, language: str) -> float:
    """Share of the text, in bytes, that isn't this language by its grammar."""
    content = text.encode()
    root = parser_of(language).parse(content).root_node
    return _broken(root) / max(len(content), 1) if root.has_error else 0.0


def _broken(node: tree_sitter.Node) -> int:
    total, waiting = 0, [node]
    while waiting:
        node = waiting.pop()
        if node.is_error:
            total += node.end_byte - node.start_byte
        elif node.has_error:
            waiting.extend(node.children)
    return total


def comment_out(prose: str, language: str) -> str:
    """`prose` as line comments, ending in a newline."""
    mark = LANGUAGES[language].comment
    return "".join(f"{mark} {line}".rstrip() + "\n" for line in prose.strip().splitlines())


def wanted(path: str, languages: Sequence[str], notebooks: bool = False) -> bool:
    """Whether a file of this name may hold one of `languages`; "*" stands for all we know."""
    known = detect(path)
    if known == NOTEBOOK:
        return notebooks
    if known is None:  # a shebang may tell, once it is read
        return not pathlib.PurePosixPath(path).suffix and languages != ("Python",)
    return "*" in languages or known in languages
