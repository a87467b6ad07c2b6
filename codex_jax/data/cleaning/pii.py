"""E-mail addresses and credentials, each replaced by the name of its type."""

import collections
import re

_PATTERNS = {
    "PRIVATE_KEY": r"-----BEGIN [A-Z ]*PRIVATE KEY-----.{0,8192}?-----END [A-Z ]*PRIVATE KEY-----",
    "EMAIL": r"\b[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,5}[A-Za-z]{2,24}\b",
    "AWS_KEY": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GITHUB_TOKEN": r"\bgh[pousr]_[A-Za-z0-9]{36}\b|\bgithub_pat_[A-Za-z0-9_]{60,}\b",
    "SLACK_TOKEN": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "GOOGLE_KEY": r"\bAIza[A-Za-z0-9_-]{35}",
    "STRIPE_KEY": r"\b[sr]k_live_[A-Za-z0-9]{20,}\b",
    "JWT": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
}
# A cheap sign that a text may hold any of them: most files have none.
_SIGNS = ("PRIVATE KEY", "@", "AKIA", "ASIA", "gh", "xox", "AIza", "k_live_", "eyJ")
_ANY = re.compile("|".join(f"(?P<{name}>{p})" for name, p in _PATTERNS.items()), re.DOTALL)


def redact(text: str) -> tuple[str, collections.Counter[str]]:
    """Returns the text with `<EMAIL>` and the like in place, and the count of each type."""
    counts: collections.Counter[str] = collections.Counter()
    if not any(sign in text for sign in _SIGNS):
        return text, counts

    def replace(match: re.Match[str]) -> str:
        name = match.lastgroup or ""
        counts[name] += 1
        return f"<{name}>"

    return _ANY.sub(replace, text), counts
