"""The while loops of a function's bytecode: where to look at one, and what it only sums up."""

import functools
import itertools

_SUMMING = ("+", "+=", "-", "-=")
_ENDS = ("RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE")
_JUMPS = ("JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT")
_REACHING = ("SWAP", "COPY")  # further down the stack than their effect on its depth tells


@functools.cache
def dis():
    """Imported where it is first needed: few programs last."""
    import dis

    return dis


def places(code):
    """For each offset at which the stack holds only what a while loop found there: the outermost
    such loop's first and last offset, and the names of locals that it only sums up."""
    steps = list(dis().get_instructions(code))
    depths, found = _depths(steps), {}
    for head, tail in ((step.argval, step.offset) for step in filter(_jumps, steps)):
        inside = [step for step in steps if head <= step.offset <= tail]
        if inside and head in depths and inside[0].opname not in ("FOR_ITER", "SEND"):
            for offset in (s.offset for s in inside if depths.get(s.offset) == depths[head]):
                first, last = found.get(offset, (head, tail))
                found[offset] = min(head, first), max(tail, last)
    plain = not code.co_exceptiontable  # else a part of a loop may lie outside of it
    summed = {span: _sums(steps, *span) if plain else () for span in set(found.values())}
    return {offset: (*span, summed[span]) for offset, span in found.items()}


def _jumps(step):
    return step.opcode in dis().hasjrel


def _effect(step, *, jump=False):
    argument = step.arg if step.opcode >= dis().HAVE_ARGUMENT else None
    return dis().stack_effect(step.opcode, argument, jump=jump)


def _depths(steps):
    """How many values lie on the stack before each step that is reached without an exception."""
    numbers = {step.offset: number for number, step in enumerate(steps)}
    depths, waiting = {}, [(0, 0)]
    while waiting:
        number, depth = waiting.pop()
        while steps[number].offset not in depths:
            step = steps[number]
            depths[step.offset] = depth
            if _jumps(step):
                waiting.append((numbers[step.argval], depth + _effect(step, jump=True)))
            if step.opname in _ENDS + _JUMPS:
                break
            depth += _effect(step)
            number += 1
    return depths


def _sums(steps, head, tail):
    """Names that the steps from head to tail load only to add to them and store them again."""
    inside = [step for step in steps if head <= step.offset <= tail]
    added, others = set(), set()
    for number, step in enumerate(inside):
        if step.opname == "LOAD_FAST" and _is_sum(inside[number:]):
            added.add(step.argval)
        elif step.opname != "STORE_FAST":
            others.update(step.argval if type(step.argval) is tuple else [step.argval])
    return tuple(added - others)


def _is_sum(steps):
    """Whether the first step loads what the next ones only add something to, and store again."""
    name, depth = steps[0].argval, 1
    for step, after in itertools.pairwise(steps[1:]):
        if _jumps(step) or step.opname in _REACHING:
            return False
        if step.opname == "BINARY_OP" and depth == 2:
            stored = after.opname == "STORE_FAST" and after.argval == name
            return stored and step.argrepr in _SUMMING
        depth += _effect(step)
        if depth < 2:
            return False
    return False
