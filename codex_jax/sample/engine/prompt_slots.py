"""Which prompt lies at which place on the device, and for how many samples yet to end."""

import collections
from collections.abc import Sequence


class Places:
    """Places for prompts. One that nobody uses any more stays until its place is wanted."""

    def __init__(self, count: int):
        self._empty = list(range(count))
        self._place: collections.OrderedDict[tuple[int, ...], int] = collections.OrderedDict()
        self._users: collections.Counter[int] = collections.Counter()
        self._prompt: dict[int, tuple[int, ...]] = {}

    def take(self, tokens: Sequence[int], users: int) -> tuple[int, bool] | None:
        """(place, whether the prompt must still be put there); None where all are in use."""
        key = tuple(tokens)
        if key in self._place:
            place, fresh = self._place[key], False
        elif (place := self._find()) is not None:
            fresh = True
            self._place[key], self._prompt[place] = place, key
        else:
            return None
        self._place.move_to_end(key)
        self._users[place] += users
        return place, fresh

    def leave(self, place: int) -> None:
        """One user less."""
        self._users[place] -= 1

    def _find(self) -> int | None:
        if self._empty:
            return self._empty.pop()
        oldest = (place for place in self._place.values() if not self._users[place])
        place = next(oldest, None)
        if place is not None:
            del self._place[self._prompt.pop(place)]
        return place
