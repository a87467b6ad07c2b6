"""Each message has one letter, and a frame is read as it was written."""

import os

import pytest

from codex_jax.evaluate.sandbox import protocol
from codex_jax.evaluate.sandbox.guest import server_io

MESSAGES = {name: value for name, value in vars(protocol).items() if type(value) is bytes}


def test_each_letter_means_one_message():
    assert len(set(MESSAGES.values())) == len(MESSAGES) >= 15
    assert all(len(letter) == 1 for letter in MESSAGES.values())


@pytest.mark.parametrize("body", [b"", b"a", bytes(range(256)) * 100])
def test_a_frame_is_read_as_it_was_written(body):
    inlet, outlet = os.pipe()
    server_io.write_frame(outlet, protocol.ANSWERS, body[:10], body[10:])
    assert server_io.read_frame(inlet) == (protocol.ANSWERS, body)
    assert protocol.FRAME_HEAD.size == 5


def test_a_message_of_more_than_a_letter_is_refused():
    with pytest.raises(Exception, match="char format requires a bytes object of length 1"):
        protocol.frame_head(b"AB")
