"""Assignment of prompts to slots on the device, with a count of their unfinished samples."""

import collections
from collections.abc import Sequence


class PromptSlots:
    """Slots for prompts. A prompt without users stays until its slot is needed."""

    def __init__(self, count: int):
        self._empty = list(range(count))
        self._slots: collections.OrderedDict[tuple[int, ...], int] = collections.OrderedDict()
        self._users: collections.Counter[int] = collections.Counter()
        self._prompts: dict[int, tuple[int, ...]] = {}

    def acquire(self, tokens: Sequence[int], users: int) -> tuple[int, bool] | None:
        """(slot, whether the prompt must be written to it); None if all slots are in use."""
        key = tuple(tokens)
        is_new = key not in self._slots
        slot = self._find_free() if is_new else self._slots[key]
        if slot is None:
            return None
        self._slots[key], self._prompts[slot] = slot, key
        self._slots.move_to_end(key)
        self._users[slot] += users
        return slot, is_new

    def release(self, slot: int) -> None:
        """Subtracts one user."""
        self._users[slot] -= 1

    def _find_free(self) -> int | None:
        """An empty slot, or the one that has been unused for longest."""
        if self._empty:
            return self._empty.pop()
        slot = next((slot for slot in self._slots.values() if not self._users[slot]), None)
        if slot is not None:
            del self._slots[self._prompts.pop(slot)]
        return slot
