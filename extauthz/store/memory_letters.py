"""Letters in the memory of one process. Whoever calls holds the lock of the store."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from extauthz.store.letters import DEAD_SECONDS, WAITING_SECONDS
from extauthz.values.letters import Claim, Letter, LetterCounts, LetterState


class MemoryLetters:
    """How it stands with each letter, by its id."""

    def __init__(self) -> None:
        self._letters: dict[str, LetterState] = {}

    def put(self, letters: Iterable[Letter], now: float) -> None:
        """Keep new ones."""
        for letter in letters:
            self._letters.setdefault(letter.id, LetterState(letter=letter, attempts=0, due_at=now))

    def put_some(self, sink: str, letters: Sequence[Letter], most: int, now: float) -> int:
        """As `LetterStore.put_letters`."""
        of_sink = [state for state in self._letters.values() if state.letter.sink == sink]
        dead = sorted((state.dead_at, state.letter.id) for state in of_sink if state.dead_at is not None)
        for _, id_ in dead[: max(0, len(dead) - most)]:
            del self._letters[id_]
        kept = letters[: max(0, most - (len(of_sink) - len(dead)))]
        self.put(kept, now)
        return len(kept)

    def claim(self, sink: str, most: int, lease: float, now: float) -> tuple[Claim, ...]:
        """As `LetterStore.claim_letters`."""
        due = [
            state
            for state in self._letters.values()
            if state.letter.sink == sink and state.dead_at is None and state.due_at <= now
        ]
        due.sort(key=lambda state: (state.due_at, state.letter.id))
        claimed = [replace(state, attempts=state.attempts + 1, due_at=now + lease) for state in due[:most]]
        self._letters |= {state.letter.id: state for state in claimed}
        return tuple(Claim(letter=state.letter, attempt=state.attempts) for state in claimed)

    def done(self, id_: str) -> bool:
        """As `LetterStore.letter_done`."""
        return self._letters.pop(id_, None) is not None

    def later(self, id_: str, attempt: int, *, due_at: float, error: str) -> bool:
        """As `LetterStore.letter_later`."""
        state = self._claimed(id_, attempt)
        if state is not None:
            self._letters[id_] = replace(state, due_at=due_at, error=error)
        return state is not None

    def dead(self, id_: str, attempt: int, *, error: str, now: float) -> bool:
        """As `LetterStore.letter_dead`."""
        state = self._claimed(id_, attempt)
        if state is not None:
            self._letters[id_] = replace(state, dead_at=now, error=error)
        return state is not None

    def listed(self, dead: bool | None, sink: str | None, most: int, after: str) -> tuple[LetterState, ...]:
        """As `LetterStore.letters`."""
        found = (
            state
            for id_, state in self._letters.items()
            if id_ > after and sink in (None, state.letter.sink) and dead in (None, state.dead_at is not None)
        )
        return tuple(sorted(found, key=lambda state: state.letter.id)[:most])

    def replay(self, ids: Sequence[str] | None, sink: str | None, now: float) -> int:
        """As `LetterStore.replay_letters`."""
        again = {
            id_: replace(state, attempts=0, due_at=now, dead_at=None)
            for id_, state in self._letters.items()
            if state.dead_at is not None and sink in (None, state.letter.sink) and (ids is None or id_ in ids)
        }
        self._letters |= again
        return len(again)

    def counts(self) -> Mapping[str, LetterCounts]:
        """As `LetterStore.letter_counts`."""
        counts: dict[str, LetterCounts] = {}
        for state in self._letters.values():
            known = counts.get(state.letter.sink, LetterCounts(waiting=0, dead=0))
            if state.dead_at is not None:
                known = replace(known, dead=known.dead + 1)
            else:
                oldest = state.letter.at if known.oldest_at is None else min(known.oldest_at, state.letter.at)
                known = replace(known, waiting=known.waiting + 1, oldest_at=oldest)
            counts[state.letter.sink] = known
        return counts

    def sweep(self, now: float) -> None:
        """Forget what is kept no longer."""
        self._letters = {
            id_: state
            for id_, state in self._letters.items()
            if (state.due_at + WAITING_SECONDS if state.dead_at is None else state.dead_at + DEAD_SECONDS) > now
        }

    def _claimed(self, id_: str, attempt: int) -> LetterState | None:
        state = self._letters.get(id_)
        return state if state is not None and state.dead_at is None and state.attempts == attempt else None
