"""Removal of the files that a program leaves in the folders that it can write to."""

import os

_FOLDERS = ("/tmp", "/dev/shm")


class Scratch:
    """The state of the folders before the next program."""

    def __init__(self):
        self.state = _state()

    def restore(self):
        """Deletes what a program left; returns False if anything stays changed.

        Any entry that was added or removed changes a folder's time; the number of files shows it
        even if the program set the time back, which only a folder's owner can.
        """
        if _state() == self.state:
            return True
        is_empty, before = clean_scratch(), self.state
        self.state = _state()
        return is_empty and [entry[:-1] for entry in before] == [entry[:-1] for entry in self.state]


def _state():
    """Returns mode, owner, number of files and time of each folder."""
    state = []
    for folder in _FOLDERS:
        try:
            status, system = os.stat(folder), os.statvfs(folder)
        except OSError:
            continue
        files = system.f_files - system.f_ffree  # always 0 in gVisor
        state.append((status.st_mode, status.st_uid, files, status.st_mtime_ns))
    return state


def clean_scratch():
    """Deletes plain files from the folders; returns False if anything else is left."""
    for folder in _FOLDERS:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        return False
                    os.unlink(entry.path)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True
