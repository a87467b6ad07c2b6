"""GPT-2's byte alphabet, in which vocabulary files spell tokens: a printable character per byte."""


def _byte_characters() -> list[str]:
    """The character of each byte value."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (byte for byte in range(256) if byte not in printable)
    characters = {byte: chr(byte) for byte in printable}
    characters |= {byte: chr(256 + n) for n, byte in enumerate(others)}
    return [characters[byte] for byte in range(256)]


_CHARACTERS = dict(enumerate(_byte_characters()))
# Latin-1 characters that spell no byte become one that Latin-1 can't encode.
_BYTES: dict[int, int | str] = dict.fromkeys(range(256), "\N{REPLACEMENT CHARACTER}")
_BYTES |= {ord(character): byte for byte, character in _CHARACTERS.items()}


def spell(token: bytes) -> str:
    """Spells bytes in the alphabet."""
    return token.decode("latin-1").translate(_CHARACTERS)


def unspell(spelling: str) -> bytes:
    """Converts a spelling back to bytes.

    Raises:
      ValueError: a character outside the alphabet.
    """
    return spelling.translate(_BYTES).encode("latin-1")
