"""Removal of the files that a program leaves in the folders that it can write to."""

import os

_FOLDERS = ("/tmp", "/dev/shm")


def scratch_fingerprint():
    """Returns mode, owner and number of files of each folder: leftovers change one of them."""
    fingerprint = []
    for folder in _FOLDERS:
        try:
            status, system = os.stat(folder), os.statvfs(folder)
        except OSError:
            continue
        fingerprint.append((status.st_mode, status.st_uid, system.f_files - system.f_ffree))
    return fingerprint


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
