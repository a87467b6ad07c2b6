"""Close matches for misspelt names, for error messages."""

from collections.abc import Iterable


def suggest(name: str, names: Iterable[str]) -> str:
    """Returns a clause with the closest names; with all names if none is close and few exist."""
    import difflib  # only a misspelling pays for it

    by_lower = {other.lower(): other for other in sorted(names)}
    close = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    if close:
        return f"; did you mean {' or '.join(by_lower[other] for other in close)}?"
    return f"; expected {', '.join(sorted(names))}" if 0 < len(by_lower) <= 40 else ""
