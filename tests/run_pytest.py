"""Runs pytest on a folder or file: the main program of Bazel's py_test rules."""

import sys

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main(sys.argv[1:]))
