"""Parses gcloud command lines with gcloud's own parser, running none; run by gcloud's own Python.

stdin: a JSON list of lists of words. stdout: a JSON list, null or an error for each.
"""

import contextlib
import io
import json
import sys

sys.path[:0] = [f"{sys.argv[1]}/lib", f"{sys.argv[1]}/lib/third_party"]
from googlecloudsdk import gcloud_main  # noqa: E402

_parser = gcloud_main.CreateCLI([])._CLI__parser


def error_of(words: list[str]) -> str | None:
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            _parser.parse_args(words)
    except SystemExit:
        return errors.getvalue() or "refused"
    except Exception as error:  # noqa: BLE001  # some of its errors are raised rather than errors
        return str(error) or type(error).__name__
    return None


print(json.dumps([error_of(words) for words in json.load(sys.stdin)]))
