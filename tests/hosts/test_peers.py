"""Texts and barriers of several processes, here threads."""

import concurrent.futures

import pytest

from codex_jax.hosts.peers import BarrierError, Peers, exchange, name_processes
from tests.hosts.fake_client import FakeClient, FakeService


@pytest.fixture
def peers():
    """Three processes of one run."""
    service = FakeService(3)
    members = [Peers(FakeClient(service), index, 3) for index in range(3)]
    for member in members:
        member._prefix = "codex_jax/test"
    return members


def together(calls):
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(20) for future in [pool.submit(call) for call in calls]]


def test_texts_come_in_the_order_of_processes(peers):
    calls = [lambda p=p: p.exchange("color", f"{p.index} is red", 10) for p in reversed(peers)]
    assert together(calls) == [["0 is red", "1 is red", "2 is red"]] * 3


def test_the_latest_text_is_read_and_others_are_not_mixed_in(peers):
    peers[1].publish("beat", "1")
    peers[1].publish("beat", "2")
    peers[2].publish("beats", "other")
    assert peers[0].read("beat") == {1: "2"}
    assert peers[0].read("nothing") == {}


def test_the_absent_are_named(peers):
    def wait(member):
        with pytest.raises(BarrierError, match="save") as caught:
            member.wait("save", 0.2)
        return caught.value.absent

    assert together([lambda: wait(peers[0]), lambda: wait(peers[2])]) == [[1], [1]]


def test_one_process_waits_for_nobody():
    alone = Peers(None, 0, 1)
    alone.wait("start", 0)
    assert alone.exchange("color", "red", 0) == ["red"]
    assert alone.others == []


def test_where_another_is_lost_the_same_command_runs_again(monkeypatch, capsys):
    service = FakeService(2)
    service.is_silent = True
    monkeypatch.setattr(Peers, "connected", lambda: Peers(FakeClient(service), 0, 2))
    with pytest.raises(SystemExit, match=r"^75$"):
        exchange("end of a command", "done")
    assert capsys.readouterr().err == "another host was lost; run the same command again\n"


def test_runs_in_a_row_have_keys_of_their_own():
    assert Peers(None, 0, 1)._prefix != Peers(None, 0, 1)._prefix


@pytest.mark.parametrize(
    ("indices", "text"),
    [
        ([3], "process 3"),
        ([1, 2], "processes 1 and 2"),
        ([0, 1, 5], "processes 0, 1 and 5"),
        (list(range(10)), "processes 0, 1, 2, 3, 4, 5, 6, 7 and 2 more"),
    ],
)
def test_processes_are_named(indices, text):
    assert name_processes(indices) == text
