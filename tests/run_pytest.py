"""What Bazel's py_test runs: pytest on the folder or file given."""

import sys

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main(sys.argv[1:]))
