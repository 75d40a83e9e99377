"""How long work will take, from how long the last jobs took."""

from collections import deque
from statistics import median

from providers.local.engine import Order

_REMEMBERED = 7
_TELLING_PERCENT = 5  # below it, the pace of a running job is noise


class Pace:
    """Seconds of work per pixel and second of video: the median of the last jobs, against odd ones."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=_REMEMBERED)

    def observe(self, order: Order, seconds: float) -> None:
        """A job took that long, from hand-over to finished file."""
        self._samples.append(seconds / _volume(order))

    def expected(self, order: Order) -> float | None:
        """Seconds this order will take; None before the first job is done."""
        return median(self._samples) * _volume(order) if self._samples else None

    def remaining(self, order: Order, percent: int, elapsed: float) -> float | None:
        """Seconds a running order still needs."""
        if percent >= _TELLING_PERCENT:
            return elapsed * (100 - percent) / percent
        whole = self.expected(order)
        return None if whole is None else max(0.0, whole - elapsed)


def _volume(order: Order) -> float:
    return order.width * order.height * order.seconds
