"""Table of languages; detection by file name, shebang or content; parsers and comments."""

import dataclasses
import functools
import pathlib
import re
import typing
from collections.abc import Collection, Sequence

import identify.identify
import tree_sitter
import tree_sitter_language_pack

from codex_jax.data.ambiguous_names import language_by_content


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
    "Python": ("py", "pythonw", "ipython", "pypy", "xpython"),
    "JavaScript": ("js", "node", "nodejs", "node.js", "reactjs"),
    "TypeScript": ("deno",),
    "Go": ("golang", "gophernotes"),
    "Ruby": ("rb",),
    "Perl": ("pl",),
    "C++": ("cpp", "cxx", "xcpp"),
    "C#": ("csharp", "c-sharp", "cs", ".net-csharp"),
    "Rust": ("rs",),
    "Shell": ("sh", "zsh", "ksh", "mksh", "dash", "ash"),
}
_VERSION = re.compile(r"[-\s]?\d[\d.x]*$")
_NAME_OF_TAG = {tag: name for name, row in LANGUAGES.items() for tag in row.tags}
_NAME_OF_WORD = {name.lower(): name for name in LANGUAGES} | _NAME_OF_TAG
_NAME_OF_WORD |= {alias: name for name, aliases in _ALIASES.items() for alias in aliases}


def language_named(word: str) -> str | None:
    """Returns the table's name of a language that a tag, kernel or magic names: "c++17", "py"."""
    word = word.strip().lower()
    return _NAME_OF_WORD.get(word) or _NAME_OF_WORD.get(_VERSION.sub("", word))


# What the library doesn't know, or gives no language of the table.
_NAME_OF_SUFFIX = {".pyi": "Python", ".pyx": "Python", ".pxd": "Python", ".rpy": "Python"}
_NAME_OF_SUFFIX |= {".mts": "TypeScript", ".cts": "TypeScript", ".es6": "JavaScript"}
_NAME_OF_SUFFIX |= {".cu": "C++", ".cuh": "C++", ".tcc": "C++", ".inl": "C++", ".pde": "C++"}
_NAME_OF_SUFFIX |= {".t": "Perl", ".psgi": "Perl", ".plx": "Perl", ".ph": "Perl", ".perl": "Perl"}
_NAME_OF_SUFFIX |= {".ru": "Ruby", ".rbw": "Ruby", ".podspec": "Ruby", ".ksh": "Shell"}
_ENV_OPTIONS_WITH_VALUE = {"-u", "--unset", "-C", "--chdir"}


def detect(path: str, content: bytes | None = None) -> str | None:
    """Returns a file's language by its name, else by its shebang; None where it isn't in the table.

    Where the name leaves it open (.h, .ts, .pl), the content decides.
    """
    tags = identify.identify.tags_from_filename(path)
    if "jupyter" in tags:
        return NOTEBOOK
    names = possible_languages(path, tags)
    if not names and content and content.startswith(b"#!") and _may_have_shebang(tags):
        names = {name for name in [_language_of_shebang(content)] if name}
    if content is not None:
        return language_by_content(names, content)
    return min(names, default=None)


def possible_languages(path: str, tags: Collection[str] | None = None) -> set[str]:
    """Returns the languages of the table that a file of this name may be in."""
    if name := _NAME_OF_SUFFIX.get(pathlib.PurePosixPath(path).suffix.lower()):
        return {name}
    tags = identify.identify.tags_from_filename(path) if tags is None else tags
    return {_NAME_OF_TAG[tag] for tag in tags if tag in _NAME_OF_TAG}


def _may_have_shebang(tags: Collection[str]) -> bool:
    """Tells whether a name's tags leave open what the file is."""
    return not tags


def _language_of_shebang(content: bytes) -> str | None:
    """Returns the language of the interpreter; `env` may have options and variables before it."""
    line = content.partition(b"\n")[0][2:200].decode("utf-8", "replace")
    words = line.split()
    if words and pathlib.PurePosixPath(words[0]).name == "env":
        words.pop(0)
        while words and (words[0].startswith("-") or "=" in words[0]):
            option = words.pop(0)
            words = words[1:] if option in _ENV_OPTIONS_WITH_VALUE else words
    return language_named(pathlib.PurePosixPath(words[0]).name) if words else None


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
    """Returns `prose` as line comments, ending in a newline.

    PHP's are a block: a line comment would end at "?>", and its grammar refuses a last "?".
    """
    if language == "PHP" and "*/" not in prose:
        lines = (f" * {line}".rstrip() + "\n" for line in prose.strip().splitlines())
        return f"/**\n{''.join(lines)} */\n"
    mark = LANGUAGES[language].comment
    return "".join(f"{mark} {line}".rstrip() + "\n" for line in prose.strip().splitlines())


def may_contain(path: str, languages: Sequence[str], notebooks: bool = False) -> bool:
    """Tells whether a file of this name may hold one of `languages`; "*" stands for all."""
    tags = identify.identify.tags_from_filename(path)
    if "jupyter" in tags:
        return notebooks
    if names := possible_languages(path, tags):
        return "*" in languages or not names.isdisjoint(languages)
    return _may_have_shebang(tags)  # which decides, once it is read
