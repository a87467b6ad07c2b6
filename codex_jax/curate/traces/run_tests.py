"""Runs a package's tests under the recorder; the script that is started inside the sandbox.

    run_tests.py pytest ROOTS FOLDER PATH...   pytest in a copy of FOLDER; imports from PATHs
    run_tests.py unittest ROOTS MODULE...      modules of unittest, each in a process of its own

It lies in one folder with recorder.py, and imports nothing else of this package.
"""

import contextlib
import os
import pathlib
import runpy
import shutil
import signal
import sys

_TEST_S = 20  # of one test
_MODULE_S = 90  # of one module of unittest


class Plugin:
    """Installs the recorder before each test, and ends a test that hangs."""

    def __init__(self, recorder):
        self.recorder = recorder

    def pytest_runtest_setup(self, item):
        """Begins a test."""
        del item
        signal.signal(signal.SIGALRM, raise_timeout)
        signal.alarm(_TEST_S)
        self.recorder.install()

    def pytest_runtest_call(self, item):
        """Begins the body of a test, after fixtures that may have removed the recorder."""
        del item
        self.recorder.install()

    def pytest_runtest_teardown(self, item):
        """Ends a test."""
        del item
        signal.alarm(0)


def raise_timeout(*_):
    """Ends the test that runs."""
    raise TimeoutError("the test took too long")


def run_pytest(recorder, folder, paths):
    """Runs pytest in a writable copy of a folder."""
    copy = pathlib.Path("/tmp/source")
    shutil.copytree(folder, copy, symlinks=True)
    os.chdir(copy)
    sys.path[:0] = [path.replace(folder, str(copy), 1) for path in paths]
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[: len(paths)])
    import pytest

    recorder.install()
    flags = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:faulthandler"]
    flags += ["-o", "addopts=", "--continue-on-collection-errors"]
    pytest.main(flags, plugins=[Plugin(recorder)])


def run_unittest(recorder, modules):
    """Runs modules of unittest one by one, each in a fork, since some end their process."""
    for name in modules:
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                signal.alarm(_MODULE_S)  # without a handler: it ends the process
                import unittest

                recorder.install()
                unittest.main(module=name, argv=["unittest"], exit=False, verbosity=0)
            os._exit(0)
        os.waitpid(pid, 0)


def main(arguments):
    """Runs the tests that the arguments name."""
    recorders = runpy.run_path(str(pathlib.Path(__file__).with_name("recorder.py")))
    runner, roots, *rest = arguments
    recorder = recorders["Recorder"](roots.split(","))
    if runner == "pytest":
        run_pytest(recorder, rest[0], rest[1:])
    else:
        run_unittest(recorder, rest)


if __name__ == "__main__":
    main(sys.argv[1:])
