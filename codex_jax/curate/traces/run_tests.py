"""Runs a package's tests under the recorder; the script that is started inside the sandbox.

    run_tests.py pytest ROOTS FOLDER PATH...   pytest in a copy of FOLDER; imports from PATHs;
                                               file by file, in the end without the package's
                                               configuration, if no call is recorded otherwise
    run_tests.py unittest ROOTS MODULE...      modules of unittest, each in a process of its own

It lies in one folder with recorder.py, and imports nothing else of this package.
"""

import contextlib
import mmap
import os
import pathlib
import runpy
import shutil
import signal
import sys

_TEST_S = 20  # of one test
_COLLECTION_S = 45  # until the first test begins
_TEST_FILES = ("test_*.py", "*_test.py")
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

    has_written = mmap.mmap(-1, 1)  # shared with the forks
    write, host = recorder.write, os.fstat(recorder.results)

    def mark_and_write(data):
        if os.path.samestat(os.fstat(recorder.results), host):  # closed, it may be another file
            write(data)
            has_written[0] = 1

    recorder.write = mark_and_write
    flags = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:faulthandler"]
    flags += ["-o", "addopts=", "--continue-on-collection-errors"]
    files = sorted({str(path) for name in _TEST_FILES for path in copy.rglob(name)})
    alone = ["--noconftest", f"--rootdir={copy}", "-c", os.devnull]
    # A file or a configuration may end or spoil what others need.
    for runs in ([[]], [[file] for file in files], [[*alone, file] for file in files]):
        for more in runs:

            def run_tests(more=more):
                recorder.install()
                pytest.main([*flags, *more], plugins=[Plugin(recorder)])

            run_in_fork(run_tests, _COLLECTION_S)
        if has_written[0]:
            return


def run_unittest(recorder, modules):
    """Runs modules of unittest one by one, each in a fork, since some end their process."""
    for name in modules:

        def run_module(name=name):
            import unittest

            recorder.install()
            unittest.main(module=name, argv=["unittest"], exit=False, verbosity=0)

        run_in_fork(run_module, _MODULE_S)


def run_in_fork(action, timeout_s, leave=os._exit):
    """Calls a function in a process of its own, which an alarm ends that it doesn't handle."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            signal.alarm(timeout_s)
            action()
        leave(0)
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
