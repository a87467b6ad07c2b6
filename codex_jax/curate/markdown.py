"""Texts as cells of a Markdown table."""


def format_code(text: str) -> str:
    """Returns a text as code in a cell: in one line, a lone surrogate by its number."""
    line = " ".join(text.split()).replace("`", "'").replace("|", "\\|")
    return f"`{line.encode(errors='backslashreplace').decode()}`"


def format_codes(texts: list[str]) -> str:
    """Returns texts as code in one cell."""
    return ", ".join(map(format_code, texts))
