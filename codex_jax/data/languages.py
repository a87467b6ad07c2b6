"""Table of languages; detection by file name or shebang, parsers and comments."""

import dataclasses
import functools
import io
import pathlib
import re
import typing
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
NOTEBOOK = "Jupyter"  # a container: its cells have a language of their own

_ALIASES = {
    "Python": ("py", "ipython", "pypy", "xpython"),
    "JavaScript": ("js", "node", "nodejs", "node.js", "reactjs"),
    "TypeScript": ("deno",),
    "Go": ("golang", "gophernotes"),
    "Ruby": ("rb",),
    "Perl": ("pl",),
    "C++": ("cpp", "cxx", "xcpp"),
    "C#": ("csharp", "c-sharp", "cs", ".net-csharp"),
    "Rust": ("rs",),
    "Shell": ("sh", "zsh", "ksh", "dash"),
}
_VERSION = re.compile(r"[-\s]?\d[\d.x]*$")
_NAME_OF_TAG = {tag: name for name, row in LANGUAGES.items() for tag in row.tags}
_NAME_OF_WORD = {name.lower(): name for name in LANGUAGES} | _NAME_OF_TAG
_NAME_OF_WORD |= {alias: name for name, aliases in _ALIASES.items() for alias in aliases}


def language_named(word: str) -> str | None:
    """Returns the table's name of a language that a tag, kernel or magic names: "c++17", "py"."""
    word = word.strip().lower()
    return _NAME_OF_WORD.get(word) or _NAME_OF_WORD.get(_VERSION.sub("", word))


def detect(path: str, content: bytes | None = None) -> str | None:
    """Returns a file's language by its name, else by its shebang; None where it isn't in the table.

    A .h file is C++ if it holds words that C lacks.
    """
    tags = identify.identify.tags_from_filename(path)
    if not tags and content and content.startswith(b"#!"):
        words = identify.identify.parse_shebang(io.BytesIO(content[:200]))
        tags = identify.identify.tags_from_interpreter(words[0]) if words else set()
    if "jupyter" in tags:
        return NOTEBOOK
    names = {_NAME_OF_TAG[tag] for tag in tags if tag in _NAME_OF_TAG}
    if len(names) > 1:
        cpp = content and any(sign in content for sign in (b"class ", b"template", b"namespace "))
        return "C++" if cpp else "C"
    return next(iter(names), None)


@functools.cache
def parser_of(language: str) -> tree_sitter.Parser:
    """Returns tree-sitter's parser; the grammars are inside the installed package."""
    grammar = typing.cast(
        "tree_sitter_language_pack.SupportedLanguage", LANGUAGES[language].grammar
    )
    return tree_sitter_language_pack.get_parser(grammar)


def parse_error_fraction(text: str, language: str) -> float:
    """Returns the share of the text, in bytes, that isn't this language by its grammar."""
    content = text.encode()
    root = parser_of(language).parse(content).root_node
    return _error_bytes(root) / max(len(content), 1) if root.has_error else 0.0


def _error_bytes(node: tree_sitter.Node) -> int:
    total, stack = 0, [node]
    while stack:
        node = stack.pop()
        if node.is_error:
            total += node.end_byte - node.start_byte
        elif node.has_error:
            stack.extend(node.children)
    return total


def comment_out(prose: str, language: str) -> str:
    """Returns `prose` as line comments, ending in a newline."""
    mark = LANGUAGES[language].comment
    return "".join(f"{mark} {line}".rstrip() + "\n" for line in prose.strip().splitlines())


def may_contain(path: str, languages: Sequence[str], notebooks: bool = False) -> bool:
    """Tells whether a file of this name may hold one of `languages`; "*" stands for all."""
    language = detect(path)
    if language == NOTEBOOK:
        return notebooks
    if language is None:  # its shebang decides, once it is read
        return not pathlib.PurePosixPath(path).suffix and languages != ("Python",)
    return "*" in languages or language in languages
