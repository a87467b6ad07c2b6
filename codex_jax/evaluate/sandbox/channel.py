"""Interface through which the judge runs one program: a Python sandbox, or one of toolchains."""

from typing import Any, Protocol


class ProgramChannel(Protocol):
    """Runs programs one after the other; each is given calls, and answers in lines of JSON."""

    tainted: bool  # a program left something behind: the sandbox is not to be used again
    digest: str  # of the code of the program that ended last; empty in other languages

    def set_calls(self, task: dict[str, Any]) -> None:
        """Sets entry point, calls and limits of the next programs."""

    def start_program(self, *, live: bool) -> None:
        """Starts the program; if `live`, calls may follow those that are set."""

    def send_call(self, call: str) -> None:
        """Sends the program another call."""

    def end_program(self) -> None:
        """Ends the program, if it hasn't ended."""

    def receive_any(self, *, within_s: float) -> tuple[bytes, bytes]:
        """Returns the next frame: protocol.ANSWERS, or protocol.ENDED with the last answers.

        Raises:
          SandboxLostError: none comes in time.
        """
        ...
