"""Files whose name leaves open in which language they are: their content decides.

Signs of the kind by which GitHub's Linguist tells such files apart. docs/experiments.md has their
measure on files of a machine, beside a trained classifier's.
"""

import re
from collections.abc import Iterator

_LONGEST = 100_000  # bytes that are looked at
_COMMENTS = re.compile(rb"/\*.*?\*/|//[^\n]*", re.DOTALL)
_STRINGS = re.compile(rb'"(?:\\.|[^"\\\n])*"')
_CONDITION = re.compile(rb"[ \t]*#[ \t]*(if|ifdef|ifndef|elif|else|endif)\b(.*)")
_OBJECTIVE_C = re.compile(
    rb"^[ \t]*(?:@(?:interface|protocol|implementation|property|class|import)\b|#[ \t]*import\b)",
    re.MULTILINE,
)
_CPP = re.compile(
    rb"^[ \t]*(?:inline[ \t]+)?namespace\b[^;=]*(?:\{|$)|^[ \t]*template[ \t]*<|\w+::[~\w]"
    rb"|^[ \t]*(?:class|struct)[ \t][^;{}()=:]*:[ \t]*(?:public|private|protected|virtual)\b"
    rb"|^[ \t]*class[ \t]+[\w ]*\w[ \t]*(?:;|\{|$)|^[ \t]*(?:public|private|protected)[ \t]*:"
    rb"|^[ \t]*using[ \t]+\w|\b(?:constexpr|typename|noexcept|static_cast|reinterpret_cast)\b"
    rb"|\boperator[ \t]*[-+*/=<>!(\[]|\bvirtual[ \t]+\w|\bconst[ \t]+[\w:]+[ \t]*&|\w&[ \t]+\w+[,)]"
    rb"|^[ \t]*#[ \t]*include[ \t]*<(?:[a-z_]+|[^>]*\.(?:hpp|hxx|hh))>",
    re.MULTILINE,
)
_DIRECTIVE = re.compile(rb"^[ \t]*#(?:\\\n|[^\n])*", re.MULTILINE)
_NOT_CPP = re.compile(rb"!\s*(?:defined)?\s*\(?\s*__cplusplus")
_PERL = re.compile(
    rb"^#!.*perl|^[ \t]*(?:use|require|package|sub|no)[ \t]+[\w:]+|^[ \t]*(?:my|our|local)[ \t(]"
    rb"|^=(?:pod|head\d|cut)\b|[\$@%]\w+[ \t]*=[^=]|=>|<<[\"']?END|^[ \t]*return\b|^1;[ \t]*$",
    re.MULTILINE,
)
_PROLOG = re.compile(
    rb"^:-[ \t]*[a-z]|^[a-z]\w*(?:\([^%\n]*\))?[ \t]*(?::-|-->)|^[a-z]\w*\(.*\)\.[ \t]*(?:%.*)?$",
    re.MULTILINE,
)
_RAKU = re.compile(
    rb"^[ \t]*(?:use[ \t]+v6\b|unit[ \t]+module\b|#!.*\b(?:raku|perl6)\b)", re.MULTILINE
)
_MARKUP = re.compile(rb"\s*(?:\xef\xbb\xbf)?<(?:\?xml|!DOCTYPE|TS|tileset|html)\b", re.IGNORECASE)
_TYPESCRIPT = re.compile(rb"[{};=]|^[ \t]*(?://|import\b|export\b)", re.MULTILINE)
_MPEG = re.compile(rb"G.{187}G", re.DOTALL)  # a transport stream's packets


def language_by_content(names: set[str], content: bytes) -> str | None:
    """Returns in which of the languages that a name allows the content is; None for none."""
    head = content[:_LONGEST]
    if "PHP" not in names and _MARKUP.match(head):
        return None
    if names == {"C", "C++"}:
        return _language_of_header(head)
    if names == {"Perl"} and (_RAKU.search(head) or _is_no_perl(head)):
        return None
    if names == {"TypeScript"} and (_MPEG.match(head) or not _TYPESCRIPT.search(head)):
        return None
    return next(iter(names), None)


def _language_of_header(content: bytes) -> str | None:
    """Returns C or C++, by what isn't for C++ alone; None for Objective-C."""
    code = _STRINGS.sub(b'""', _COMMENTS.sub(b" ", content))
    if _OBJECTIVE_C.search(code):
        return None
    visible = b"\n".join(_lines_for_c(code))
    has_nothing_for_c = b";" not in _DIRECTIVE.sub(b"", visible)
    return "C++" if _CPP.search(code if has_nothing_for_c else visible) else "C"


def _lines_for_c(code: bytes) -> Iterator[bytes]:
    """Yields the lines that a compiler of C sees: those of `#ifdef __cplusplus` aren't."""
    hidden: list[bool] = []  # for each open condition, whether its present branch is C++ alone
    negated: list[bool] = []  # and whether its first one is for C alone
    for line in code.split(b"\n"):
        match = _CONDITION.match(line)
        if not match:
            if not any(hidden):
                yield line
            continue
        word, names_cpp = match[1], b"__cplusplus" in match[2]
        is_for_c = names_cpp and (word == b"ifndef" or bool(_NOT_CPP.search(match[2])))
        if word.startswith(b"if"):
            hidden.append(names_cpp and not is_for_c)
            negated.append(is_for_c)
        elif hidden and word == b"endif":
            hidden.pop()
            negated.pop()
        elif hidden:
            hidden[-1] = negated[-1] if word == b"else" else names_cpp and not is_for_c


def _is_no_perl(content: bytes) -> bool:
    """Tells whether clauses are more frequent than what only Perl has, or all that is absent."""
    perl = len(_PERL.findall(content))
    return not perl or len(_PROLOG.findall(content)) > perl
