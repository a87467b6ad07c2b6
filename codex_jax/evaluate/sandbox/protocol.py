"""Messages between the host and the servers inside a sandbox, and the layout of their frames.

A frame is a message (one byte), the number of bytes of its body, and the body. Both sides read this
module: it is sent into the sandbox along with the servers, and imports the standard library only.
"""

import struct

PACKAGES = "/packages"  # the folder inside of Python packages that programs may import

FRAME_HEAD = struct.Struct(">cI")  # message, bytes of the body

# From the host to any server.
RUN = b"R"  # JSON: a command; for Python RUN_HEAD, digests and a source, which gets the calls set
CALL = b"C"  # a line: another call for the program that runs
END = b"E"  # of the program that runs
EXPIRE = b"T"  # the program that runs has used its CPU time, by the host's clock
# From the host to the fork server for Python.
SET_CALLS = b"K"  # JSON: entry point and limits of the next programs; then a line for each call
# From the host to the toolchain server.
BUILD = b"M"  # JSON: files, steps, and which artifacts to return
RESTORE = b"W"  # artifacts of an earlier BUILD

# From any server to the host.
HELLO = b"H"  # JSON: version of its Python
ANSWERS = b"A"  # bytes that the program answered
CLOCK = b"Q"  # JSON: CPU seconds used, and their limit; a sign of life of what runs long
ENDED = b"X"  # a line of JSON: how the program ended; then its last answers
# From the fork server for Python.
EQUAL = b"D"  # IS_WORN, digest: one of those of RUN, so that the program doesn't run
SYNTAX_ERROR = b"S"  # IS_WORN, the error
# From the toolchain server.
BUILT = b"G"  # JSON: how BUILD or RESTORE ended
ARTIFACTS = b"B"  # a line of JSON: size by name; then the files

RUN_HEAD = struct.Struct(">?I")  # whether CALL may follow; number of digests
IS_WORN = struct.Struct(">?")  # whether compiling has used up the server's memory
DIGEST_BYTES = 16


def frame_head(message, *parts):
    """Returns the head of a frame whose body is all the parts."""
    return FRAME_HEAD.pack(message, sum(map(len, parts)))
