"""How long work will take, from how long the last jobs took.

Work is counted in megapixels times seconds of new video times steps of denoising, the last as a share of those
that the model makes for a whole video: where an engine tells of no steps, that is 1.
"""

from collections import deque
from collections.abc import Iterable
from statistics import median

from msgspec import Struct

from providers.local.engine import Model, Order

REMEMBERED = 7
"""Jobs of a model whose pace counts."""
_TELLING_PERCENT = 5  # below it, the pace of a running job is noise


class _Run(Struct, frozen=True):
    """A job that was done: in how many seconds, and in how many steps, None when that was not told."""

    order: Order
    seconds: float
    steps: int | None


class Pace:
    """Seconds of work per megapixel and second of video, by model: the median of the last jobs, against odd ones.

    The first job of a model after an engine was started is slower than those that follow, which find everything
    loaded and compiled: it counts only until there is another. What a job took is kept with its steps, so that it
    counts rightly when the model has become one of more steps, or fewer.
    """

    def __init__(self) -> None:
        self._models: dict[str, Model] = {}
        self._runs: dict[str, deque[_Run]] = {}
        self._first: dict[str, _Run] = {}

    def meet(self, models: Iterable[Model]) -> None:
        """From here on the engine has these models."""
        self._models = {model.id: model for model in models}

    def observe(self, order: Order, seconds: float, *, steps: int | None = None, first: bool = False) -> None:
        """A job took that long, from hand-over to finished file; `first` of its model in this engine's life."""
        run = _Run(order, seconds, steps)
        if first:
            self._first[order.model] = run
        else:
            self._runs.setdefault(order.model, deque(maxlen=REMEMBERED)).append(run)

    def rate(self, model: str) -> float | None:
        """The pace of a model at the steps it makes now; None before its first job is done."""
        runs = self._runs.get(model) or ([self._first[model]] if model in self._first else [])
        return median(run.seconds / self.effort(run.order, run.steps) for run in runs) if runs else None

    def effort(self, order: Order, steps: int | None = None) -> float:
        """How much there is to do for an order that takes so many steps; by default as many as it should take."""
        model = self._models.get(order.model)
        if model is None or model.steps is None:
            return volume(order)
        return volume(order) * (steps or steps_of(order, model)) / model.steps

    def expected(self, order: Order) -> float | None:
        """Seconds this order will take; None before the first job of its model is done."""
        rate = self.rate(order.model)
        return None if rate is None else rate * self.effort(order)

    def remaining(self, order: Order, percent: int, elapsed: float) -> float | None:
        """Seconds a running order still needs."""
        if percent >= _TELLING_PERCENT:
            return elapsed * (100 - percent) / percent
        whole = self.expected(order)
        return None if whole is None else max(0.0, whole - elapsed)


def volume(order: Order) -> float:
    """How much there is to make, in megapixels times seconds of video that are new."""
    seconds = order.added if order.operation == "extend" else order.seconds
    return order.width * order.height * seconds / 1e6


def steps_of(order: Order, model: Model) -> int:
    """How many steps an order should take: a video that is drawn over takes as many as becomes new of it."""
    whole = model.steps or 1
    if not order.clip or order.operation == "extend":
        return whole
    share = model.strength if order.strength is None else order.strength
    return max(1, int(whole * (1.0 if share is None else share)))
