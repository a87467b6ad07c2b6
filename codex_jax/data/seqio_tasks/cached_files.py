"""The TFRecord files of a cached source: SOURCE-NUMBER-of-COUNT.tfrecord."""

import re

import tensorflow as tf


def remove_files(folder: str, source: str) -> int:
    """Removes the files that an earlier run wrote for a source; returns their number.

    Nothing else in the folder is touched, other sources' files neither.
    """
    name = re.compile(re.escape(source) + r"-\d{5}-of-\d{5}\.tfrecord(\.partial)?")
    paths = [f"{folder}/{file}" for file in tf.io.gfile.listdir(folder) if name.fullmatch(file)]
    for path in paths:
        tf.io.gfile.remove(path)
    return len(paths)
