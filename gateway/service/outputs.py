"""How long answers usually are: learned for each key and model, in this process, for soft budgets."""

from collections import OrderedDict, deque

SAMPLES = 200
"""Answers that are remembered for each key and model, the latest."""

ENOUGH = 20
"""Fewer answers than this tell nothing yet."""

_MOST = 10_000


class Outputs:
    """Output tokens of past answers."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], deque[int]] = OrderedDict()

    def note(self, key: str, model: str, tokens: int) -> None:
        """An answer had so many output tokens."""
        samples = self._known.get((key, model))
        if samples is None:
            if len(self._known) >= _MOST:
                self._known.popitem(last=False)
            samples = self._known[key, model] = deque(maxlen=SAMPLES)
        self._known.move_to_end((key, model))
        samples.append(tokens)

    def p95(self, key: str, model: str) -> int | None:
        """What 95 of 100 answers stay below; None while too few are known."""
        samples = self._known.get((key, model), ())
        if len(samples) < ENOUGH:
            return None
        return sorted(samples)[-(len(samples) // 20) - 1]
