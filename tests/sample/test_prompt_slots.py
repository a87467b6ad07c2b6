import hypothesis
from hypothesis import settings
from hypothesis import strategies as st

from codex_jax.sample.engine.prompt_slots import PromptSlots


def test_a_prompt_is_written_once_while_it_is_resident():
    slots = PromptSlots(2)
    first, is_new = slots.acquire([1, 2], users=3)
    assert is_new
    assert slots.acquire((1, 2), users=1) == (first, False)


def test_the_slot_unused_for_longest_is_reused():
    slots = PromptSlots(2)
    first, second = slots.acquire([1], 1)[0], slots.acquire([2], 1)[0]
    assert slots.acquire([3], 1) is None
    slots.release(first)
    slots.release(second)
    slots.acquire([1], 1)
    assert slots.acquire([3], 1) == (second, True)
    assert slots.acquire([2], 1) is None


@settings(max_examples=50)
@hypothesis.given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=60))
def test_prompts_in_use_have_slots_of_their_own(actions):
    """A dictionary of the prompts in use models the slots."""
    slots, in_use = PromptSlots(3), {}
    for prompt, is_acquire in actions:
        if is_acquire:
            acquired = slots.acquire([prompt], 1)
            if acquired is None:
                assert len(in_use) == 3
                assert prompt not in in_use
                continue
            slot, is_new = acquired
            in_use.setdefault(prompt, [slot, 0])
            assert in_use[prompt][0] == slot
            assert not (is_new and in_use[prompt][1])
            in_use[prompt][1] += 1
        elif prompt in in_use:
            slots.release(in_use[prompt][0])
            in_use[prompt][1] -= 1
            if not in_use[prompt][1]:
                del in_use[prompt]
        assert len({slot for slot, _ in in_use.values()}) == len(in_use)
