"""Files that say under which license their neighbors are: license texts, and package manifests."""

import json
import pathlib
import re
import tomllib
from typing import Any

from codex_jax.data.readers.license_names import identify, to_spdx

_TEXTS = re.compile(r"(?:licen[sc]e|copying|unlicense)(?:[.-].*)?", re.IGNORECASE)
_METADATA = re.compile(r"^(?:License-Expression|License|Classifier): *(.*)$", re.MULTILINE)
_JSON = {"package.json", "bower.json", "composer.json"}
_TOML = {"pyproject.toml", "Cargo.toml"}
_HEADERS = {"PKG-INFO", "METADATA"}
_PRIVATE = "UNLICENSED"  # npm's word for: no license at all


def is_license_file(path: str) -> bool:
    """Tells whether a file of this name holds a license's text or declares one."""
    name = pathlib.PurePosixPath(path).name
    return name in _JSON | _TOML | _HEADERS or bool(_TEXTS.fullmatch(name))


def rank(name: str) -> int:
    """Returns 0 for a manifest, which names exceptions and alternatives, else 1."""
    return 0 if name in _JSON | _TOML | _HEADERS else 1


def read_license(path: str, content: bytes) -> str:
    """Returns what a license file says, as an SPDX expression; "" where it says nothing clear."""
    name = pathlib.PurePosixPath(path).name
    try:
        if name in _JSON:
            return _join(_declared_in(json.loads(content)))
        if name in _TOML:
            return _join(_declared_in_toml(tomllib.loads(content.decode())))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return ""
    if name in _HEADERS:
        head = content.decode("utf-8", "replace").partition("\n\n")[0]
        return _join([line.rpartition(" :: ")[2] for line in _METADATA.findall(head)][:1])
    return identify(content)


def _declared_in(fields: dict[str, Any]) -> list[str]:
    """Lists the licenses of a package.json, of which one may be chosen."""
    declared = fields.get("license") or fields.get("licenses") or []
    alternatives = declared if isinstance(declared, list) else [declared]
    return [str(each["type"] if isinstance(each, dict) else each) for each in alternatives]


def _declared_in_toml(fields: dict[str, Any]) -> list[str]:
    """Lists the license of a pyproject.toml or Cargo.toml."""
    project = fields.get("project") or fields.get("tool", {}).get("poetry") or fields.get("package")
    declared = (project or {}).get("license") or ""
    if isinstance(declared, dict):
        declared = declared.get("text", "")
    classifiers = [each for each in (project or {}).get("classifiers", []) if "License ::" in each]
    return [to_spdx(declared) or (classifiers or [""])[0].rpartition(" :: ")[2]]


def _join(names: list[str]) -> str:
    if names == [_PRIVATE]:
        return _PRIVATE
    expressions = [to_spdx(name) for name in names]
    return " OR ".join(expressions) if all(expressions) else ""
