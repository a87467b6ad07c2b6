"""E-mail and IP addresses in a text, and what looks like them in code but isn't one."""

import ipaddress
import re
from collections.abc import Iterator

import tree_sitter

from codex_jax.data.cleaning.secret_tokens import Hit
from codex_jax.data.languages import LANGUAGES, parser_of

_EMAIL = re.compile(
    r"(?<![\w.%+@/:-])([A-Za-z0-9._%+-]{1,64})@((?:[A-Za-z0-9-]{1,63}\.){1,5}([A-Za-z]{2,24}))"
    r"(?![\w(\[@-]|\.\w|:[\w/~])"
)
# Two letters are a country; the other top-level domains in which people have addresses.
_DOMAINS = frozenset(
    """
    com org net edu gov mil int info biz name pro aero coop museum asia jobs mobi tel travel cat
    post arpa dev app cloud tech online site xyz email page blog me art design software systems
    company technology solutions agency studio network group world life live today media digital
    academy institute university science engineering consulting services space team ninja codes
    foundation community berlin london paris tokyo nyc swiss bayern hamburg wien koeln scot google
    """.split()  # noqa: SIM905 (a list of words is read more easily)
)
_COUNTRIES_IN_CODE = {"py", "rs", "sh", "pl", "md", "cc", "so", "ts", "ps", "la", "id", "in", "is"}
_SERVICES = {"git", "hg", "svn", "bzr", "cvs"}  # accounts of servers, no one's address
_IPV4_END = re.compile(r"\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\w-]|\.\w|/\d)")  # fast: begins with a dot
_IPV4_START = re.compile(r"(?:^|(?<=[^\w.:/-]))\d{1,3}$")
_IPV6 = re.compile(r"[23][0-9a-fA-F]{3}:(?:[0-9a-fA-F]{0,4}:){1,6}[0-9a-fA-F]{0,4}(?![\w:/])")
_BEFORE_IPV6 = re.compile(r"[\w.:/-]$")
_LONGEST_EMAIL = 64 + 1 + 255
_VERSION = re.compile(
    r"(?i)(?:version|release|section|chapter|§|rfc|oid)[\w\s:=\"'(]*$|\bv[\s:=\"'(]*$"
)
_PUBLIC_RESOLVERS = {"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "208.67.222.222"}


def find_addresses(text: str, language: str = "") -> Iterator[Hit]:
    """Yields e-mail addresses of people and public IP addresses."""
    if "@" in text:
        yield from _emails(text, language)
    for match in _IPV4_END.finditer(text):
        first = _IPV4_START.search(text[max(0, match.start() - 4) : match.start()])
        if first:
            yield from _ip_addresses(text, match.start() - len(first[0]), match.end())
    if ":" in text:
        for match in _IPV6.finditer(text):
            if not _BEFORE_IPV6.search(text[max(0, match.start() - 1) : match.start()]):
                yield from _ip_addresses(text, *match.span())


def _ip_addresses(text: str, start: int, end: int) -> Iterator[Hit]:
    """Yields the stretch if it is a public address and no version."""
    address = text[start:end]
    if _is_public(address) and not _is_version(text[max(0, start - 40) : start], address):
        yield Hit(start, end, "IP_ADDRESS")


def _emails(text: str, language: str) -> Iterator[Hit]:
    matches = [match for match in _candidates(text) if _is_address(match)]
    operators = _at_signs(text, language, matches) if matches and language in LANGUAGES else set()
    for match in matches:
        if match.end(1) not in operators:
            yield Hit(*match.span(), "EMAIL")


def _candidates(text: str) -> Iterator[re.Match[str]]:
    at, end = text.find("@"), 0
    while at >= 0:
        start = at
        while start > max(end, at - 65) and (
            text[start - 1].isalnum() or text[start - 1] in "._%+-"
        ):
            start -= 1
        if match := _EMAIL.match(text, start, at + _LONGEST_EMAIL):
            yield match
            end = match.end()
        at = text.find("@", at + 1)


def _is_address(match: re.Match[str]) -> bool:
    local, domain, top = match[1].lower(), match[2].lower(), match[3].lower()
    is_domain = top in _DOMAINS or (len(top) == 2 and top not in _COUNTRIES_IN_CODE)
    is_country = top in _COUNTRIES_IN_CODE and not domain.startswith(("self.", "this."))
    return local not in _SERVICES and (is_domain or is_country)


def _at_signs(text: str, language: str, matches: list[re.Match[str]]) -> set[int]:
    """Returns the indices of each "@" that the language's grammar takes for a token of its own.

    Such are operators, decorators and annotations; in comments and strings there are none.
    """
    content = text.encode()
    root = parser_of(language).parse(content).root_node
    tokens = set()
    for match in matches:
        at = match.end(1)
        byte = at if text.isascii() else len(text[:at].encode())
        node = root.descendant_for_byte_range(byte, byte + 1)
        if node is not None and node.type in ("@", "@=") and not _is_in_error(node):
            tokens.add(at)
    return tokens


def _is_in_error(node: tree_sitter.Node | None) -> bool:
    """Tells whether the grammar gave up on what is around a node: that is no code."""
    while node is not None and node.type != "ERROR":
        node = node.parent
    return node is not None


def _is_public(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return parsed.is_global and not parsed.is_multicast and address not in _PUBLIC_RESOLVERS


def _is_version(before: str, address: str) -> bool:
    """Tells whether four numbers are a version's or a section's: small, or named so."""
    if ":" in address:
        return False
    numbers = [int(number) for number in address.split(".")]
    return max(numbers) < 50 or numbers[2:] == [0, 0] or bool(_VERSION.search(before))
