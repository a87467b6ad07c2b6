"""Credentials in a text: detect-secrets' rules, run only over lines that hold a sign of theirs."""

import functools
import importlib
import re
import string
from collections.abc import Iterator
from typing import Any, NamedTuple

_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class Hit(NamedTuple):
    """A stretch of a text, in characters, and the name of what it is."""

    start: int
    end: int
    name: str


# Name → module and class of detect-secrets, and what a line must hold, in lower case.
_RULES = {
    "AWS_KEY": ("aws.AWSKeyDetector", ("akia", "asia", "abia", "acca", "a3t", "aws")),
    "AZURE_KEY": ("azure_storage_key.AzureStorageKeyDetector", ("accountkey=",)),
    "PASSWORD": ("basic_auth.BasicAuthDetector", ("://",)),
    "CLOUDANT_KEY": ("cloudant.CloudantDetector", ("cloudant",)),
    "DISCORD_TOKEN": ("discord.DiscordBotTokenDetector", ("discord", "token")),
    "GITHUB_TOKEN": ("github_token.GitHubTokenDetector", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    "GITLAB_TOKEN": (
        "gitlab_token.GitLabTokenDetector",
        ("glpat-", "gldt-", "glft-", "glsoat-", "glrt-", "glcbt", "gr1348941"),
    ),
    "MAILCHIMP_KEY": ("mailchimp.MailchimpDetector", ("-us",)),
    "NPM_TOKEN": ("npm.NpmDetector", ("_authtoken",)),
    "OPENAI_KEY": ("openai.OpenAIDetector", ("t3blbkfj",)),
    "PYPI_TOKEN": ("pypi_token.PypiTokenDetector", ("pypi-age",)),
    "SENDGRID_KEY": ("sendgrid.SendGridDetector", ("sg.",)),
    "SLACK_TOKEN": ("slack.SlackDetector", ("xox", "hooks.slack")),
    "SQUARE_KEY": ("square_oauth.SquareOAuthDetector", ("sq0csp-",)),
    "STRIPE_KEY": ("stripe.StripeDetector", ("k_live_",)),
    "TELEGRAM_TOKEN": ("telegram_token.TelegramBotTokenDetector", (":aa",)),
    "TWILIO_KEY": ("twilio.TwilioKeyDetector", ("twilio", "sid", "token")),
}
# Prefixes that the library doesn't know.
_PREFIXES = {
    "GITHUB_TOKEN": r"github_pat_[A-Za-z0-9_]{60,}",
    "GOOGLE_KEY": r"AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{30,}|GOCSPX-[A-Za-z0-9_-]{28}",
    "OPENAI_KEY": r"sk-(?:proj|svcacct|ant-[a-z0-9]+)-[A-Za-z0-9_-]{20,}",
    "HUGGING_FACE_TOKEN": r"hf_[A-Za-z0-9]{34,}",
    "SLACK_TOKEN": r"xapp-\d-[A-Za-z0-9-]{20,}",
    "STRIPE_KEY": r"[rsp]k_(?:live|test)_[A-Za-z0-9]{20,}|whsec_[A-Za-z0-9+/=]{30,}",
    "DIGITALOCEAN_TOKEN": r"do[opr]_v1_[a-f0-9]{64}",
    "DOCKER_TOKEN": r"dckr_pat_[A-Za-z0-9_-]{27}",
    "JWT": r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    "NPM_TOKEN": r"npm_[A-Za-z0-9]{36}",
    "SHOPIFY_TOKEN": r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",
    "NEW_RELIC_KEY": r"NRAK-[A-Z0-9]{27}",
    "LINEAR_KEY": r"lin_api_[A-Za-z0-9]{40}",
    "ATLASSIAN_TOKEN": r"ATATT3[A-Za-z0-9_=-]{60,}",
    "DATABRICKS_TOKEN": r"dapi[a-f0-9]{32}",
    "VAULT_TOKEN": r"hv[sbr]\.[A-Za-z0-9_-]{90,}",
    "GRAFANA_TOKEN": r"glsa_[A-Za-z0-9]{32}_[a-fA-F0-9]{8}|glc_eyJ[A-Za-z0-9+/=]{40,}",
    "POSTMAN_KEY": r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}",
    "GROQ_KEY": r"gsk_[A-Za-z0-9]{50,}",
    "REPLICATE_TOKEN": r"r8_[A-Za-z0-9]{37}",
    "RUBYGEMS_KEY": r"rubygems_[a-f0-9]{48}",
    "FIGMA_TOKEN": r"figd_[A-Za-z0-9_-]{40,}",
    "AGE_KEY": r"AGE-SECRET-KEY-1[A-Z0-9]{58}",
}
_PREFIX = re.compile("|".join(f"(?P<n{n}>{p})" for n, p in enumerate(_PREFIXES.values())))
_PREFIX_SIGN = re.compile(
    r"github_pat_|AIza|ya29\.|GOCSPX-|sk-|hf_|xapp-|k_live_|k_test_|whsec_|_v1_|dckr_|eyJ|AGE-SECRET"
    r"|npm_|shp.._|NRAK-|lin_api_|ATATT3|dapi|hv[sbr]\.|glsa_|glc_eyJ|PMAK-|gsk_|r8_|rubygems_|figd_"
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY( BLOCK|)-----.{0,16384}?-----END \1PRIVATE KEY\2-----",
    re.DOTALL,
)
_KEYWORD_SIGNS = ("key", "_pass", "passw", "pwd", "secret", "contrase")
_KEYWORD = re.compile(  # what the library looks for: most lines with a "key" hold none
    r"(?:api|auth|service|account|db|database|priv|private|client)_?key|(?:db|database|key)_?pass"
    r"|passwo?r?d|pwd|secret|contrase",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[=:(,].*[\"'`]", re.DOTALL)
_EXTENSIONS = {"C": "c", "C++": "cpp", "C#": "cs", "Go": "go", "Java": "java"}
_LONGEST_LINE = 10_000
_PLACEHOLDER = re.compile(
    r"(?i)[*x.#-]+|.*(?:example|changeme|change_me|placeholder|redacted|dummy|your|<|\$\{|%\(|{{).*"
    r"|none|null|true|false|password|passwd|secret|pwd|token|key|test|string|str"
)


def find_secrets(text: str, language: str = "") -> Iterator[Hit]:
    """Yields keys, tokens and passwords, in no order; stretches may overlap."""
    if "PRIVATE KEY" in text:
        yield from (Hit(*match.span(), "PRIVATE_KEY") for match in _PRIVATE_KEY.finditer(text))
    if _PREFIX_SIGN.search(text):
        for match in _PREFIX.finditer(text):
            name = list(_PREFIXES)[int((match.lastgroup or "n0")[1:])]
            yield from _bounded(text, match, 0, name)
    lowered = text.lower()
    if len(lowered) != len(text):  # a letter of two in lower case: another index
        lowered = text.translate(_ASCII_LOWER)
    for name, (_, signs) in _RULES.items():
        for start, line in _lines(text, lowered, signs):
            yield from _matches(text, start, line, _detectors()[name], name)
    for start, line in _lines(text, lowered, _KEYWORD_SIGNS):
        if _KEYWORD.search(line) and _QUOTED.search(line):
            yield from _passwords(start, line, language)


def _lines(text: str, lowered: str, signs: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Yields start and text of each line that holds one of the signs, but for endless lines."""
    starts: set[int] = set()
    for sign in signs:
        at = lowered.find(sign)
        while at >= 0:
            start, end = lowered.rfind("\n", 0, at) + 1, lowered.find("\n", at)
            end = len(text) if end < 0 else end
            if end - start < _LONGEST_LINE and start not in starts:
                starts.add(start)
                yield start, text[start:end]
            at = lowered.find(sign, end)


def _matches(text: str, start: int, line: str, detector: Any, name: str) -> Iterator[Hit]:
    for pattern in detector.denylist:
        for match in pattern.finditer(text, start, start + len(line)):
            # The secret alone, where the rule says which group it is.
            group = 1 if name in ("PASSWORD", "AWS_KEY", "NPM_TOKEN") and pattern.groups else 0
            if name != "PASSWORD" or not _PLACEHOLDER.fullmatch(match[group]):
                yield from _bounded(text, match, group, name)


def _bounded(text: str, match: re.Match[str], group: int, name: str) -> Iterator[Hit]:
    """Yields the match unless it is a piece of a longer word, such as base64 of an image."""
    start, end = match.span(group)
    before, after = text[start - 1 : start], text[end : end + 1]
    if not (before.isalnum() or after.isalnum()):
        yield Hit(start, end, name)


def _passwords(start: int, line: str, language: str) -> Iterator[Hit]:
    """Yields the quoted values of assignments to a password's name."""
    from detect_secrets.filters import heuristic

    file_name = f"a.{_EXTENSIONS.get(language, 'py')}"
    for secret in _keyword_detector().analyze_line(file_name, line.rstrip("\r\n"), 1):
        value = secret.secret_value or ""
        if len(value) < 4 or " " in value or _PLACEHOLDER.fullmatch(value):
            continue
        is_reference = heuristic.is_templated_secret(value) or heuristic.is_not_alphanumeric_string(
            value
        )
        if is_reference:
            continue
        for match in re.finditer(re.escape(value), line):
            at = match.start()
            if at > 0 and line[at - 1] in "\"'`":
                yield Hit(start + at, start + match.end(), "PASSWORD")


@functools.cache
def _detectors() -> dict[str, Any]:
    return {name: _load(target) for name, (target, _) in _RULES.items()}


@functools.cache
def _keyword_detector() -> Any:
    return _load("keyword.KeywordDetector")


def _load(target: str) -> Any:
    module, _, name = target.partition(".")
    return getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)()
