"""Causes of a program's verdict, the verdict that each stands for, and outcomes."""

import enum
from typing import NamedTuple


class Cause(enum.StrEnum):
    """The finest reason that a verdict gives; a row of verdicts.jsonl holds it by its value."""

    PASSED = "passed"
    WRONG_ANSWER = "wrong_answer"
    EXCEPTION = "exception"
    SYNTAX_OR_COMPILE_ERROR = "syntax_or_compile_error"
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    PROCESS_LIMIT = "process_limit"
    EXITED_EARLY = "exited_early"
    PROTOCOL_VIOLATION = "protocol_violation"
    LEFT_OUT = "left_out"  # the problem's reference fails: the program has no verdict
    INFRA_ERROR = "infra_error"  # the infrastructure's error: the program has no verdict


VERDICT_OF = {
    Cause.PASSED: "passed",
    Cause.WRONG_ANSWER: "failed",
    Cause.EXCEPTION: "failed",
    Cause.SYNTAX_OR_COMPILE_ERROR: "failed",
    Cause.TIME_LIMIT: "timed out",
    Cause.MEMORY_LIMIT: "crashed",
    Cause.OUTPUT_LIMIT: "crashed",
    Cause.PROCESS_LIMIT: "crashed",
    Cause.EXITED_EARLY: "crashed",
    Cause.PROTOCOL_VIOLATION: "crashed",
    Cause.LEFT_OUT: "left out",
    Cause.INFRA_ERROR: "infra_error",
}
# After these a sandbox is not used again: memory, processes or files may be used up.
TAINTING_CAUSES = frozenset(
    {Cause.MEMORY_LIMIT, Cause.PROCESS_LIMIT, Cause.OUTPUT_LIMIT, Cause.PROTOCOL_VIOLATION}
)


class Outcome(NamedTuple):
    """The cause of one program's verdict, a line of detail, and the CPU seconds it took."""

    cause: Cause
    detail: str = ""
    cpu_s: float | None = None
