"""How long work will take, from how long the last jobs took."""

from collections import deque
from statistics import median

from providers.local.engine import Order

REMEMBERED = 7
"""Jobs of a model whose pace counts."""
_TELLING_PERCENT = 5  # below it, the pace of a running job is noise


class Pace:
    """Seconds of work per megapixel and second of video, by model: the median of the last jobs, against odd ones.

    The first job of a model after an engine was started is slower than those that follow, which find everything
    loaded and compiled: it counts only until there is another.
    """

    def __init__(self) -> None:
        self._samples: dict[str, deque[float]] = {}
        self._first: dict[str, float] = {}

    def observe(self, order: Order, seconds: float, *, first: bool = False) -> None:
        """A job took that long, from hand-over to finished file; `first` of its model in this engine's life."""
        pace = seconds / volume(order)
        if first:
            self._first[order.model] = pace
        else:
            self._samples.setdefault(order.model, deque(maxlen=REMEMBERED)).append(pace)

    def rate(self, model: str) -> float | None:
        """The pace of a model; None before its first job is done."""
        samples = self._samples.get(model)
        return median(samples) if samples else self._first.get(model)

    def expected(self, order: Order) -> float | None:
        """Seconds this order will take; None before the first job of its model is done."""
        rate = self.rate(order.model)
        return None if rate is None else rate * volume(order)

    def remaining(self, order: Order, percent: int, elapsed: float) -> float | None:
        """Seconds a running order still needs."""
        if percent >= _TELLING_PERCENT:
            return elapsed * (100 - percent) / percent
        whole = self.expected(order)
        return None if whole is None else max(0.0, whole - elapsed)


def volume(order: Order) -> float:
    """How much there is to make, in megapixels times seconds of video."""
    return order.width * order.height * order.seconds / 1e6
