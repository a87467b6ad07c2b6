"""SPDX identifiers of licenses, from a package's metadata."""

import re
from email.message import Message

_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Zope Public License": "ZPL-2.1",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "Public Domain": "LicenseRef-Public-Domain",
    "Academic Free License (AFL)": "AFL-3.0",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
}
# Free text of the License field → identifier; the first pattern that matches counts.
_TEXTS = (
    (r"\bapache\b.*\b2", "Apache-2.0"),
    (r"\bmit\b", "MIT"),
    (r"\bbsd[- ]?2", "BSD-2-Clause"),
    (r"\bbsd[- ]?3|new bsd|modified bsd|3-clause", "BSD-3-Clause"),
    (r"^bsd( license)?$", "BSD-3-Clause"),
    (r"\bisc\b", "ISC"),
    (r"mozilla|mpl[- ]?(v)?2", "MPL-2.0"),
    (r"\bpsf|python software foundation", "PSF-2.0"),
    (r"unlicense", "Unlicense"),
    (r"\b0bsd\b", "0BSD"),
    (r"\bcc0\b", "CC0-1.0"),
)
# Words of terms beyond a free license that the same text names: "MIT with Commons Clause".
_RESTRICTED = (
    r"commons clause|business source|\bbusl|non-?commercial|\bnc\b|proprietary|\bsspl"
    r"|server side public|elastic license|evaluation only|confidential"
)
_LICENSE = "License :: "


def spdx(metadata: Message) -> str:
    """Returns the expression that the metadata states, else what classifier or text stand for."""
    if expression := metadata.get("License-Expression"):
        return " ".join(str(expression).split())
    text = " ".join(str(metadata.get("License") or "").split())[:200].lower()
    if re.search(_RESTRICTED, text):
        return "LicenseRef-Restricted"
    titles = {
        classifier.rpartition(" :: ")[2]
        for classifier in metadata.get_all("Classifier") or []
        if classifier.startswith(_LICENSE)
    }
    if titles - _CLASSIFIERS.keys() - {"OSI Approved"}:
        return ""  # one of them isn't known here
    if names := sorted({_CLASSIFIERS[title] for title in titles & _CLASSIFIERS.keys()}):
        return " OR ".join(names)
    if re.search(r"\b[al]?gpl|general public", text):
        return "LicenseRef-GPL"
    return next((name for pattern, name in _TEXTS if re.search(pattern, text)), "")
