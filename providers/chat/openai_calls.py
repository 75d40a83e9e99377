"""Keeps the tool calls of a streamed choice in order, whatever numbers, ids and names a provider repeats.

OpenAI's clients join deltas by index and glue repeated ids and names together, so the indices must be dense
from 0 and each id and name said once (CHAT_WIRE 1.6, traps 1 and 2, 2026-11-20).
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct


class FunctionDelta(Struct, gc=False):
    """What one delta says of a function call: the name once, the arguments piece by piece."""

    name: str | None = None
    arguments: str = ""


class CallDelta(Struct, gc=False):
    """One delta of a tool call, in OpenAI's shape."""

    index: int
    id: str | None = None
    function: FunctionDelta | None = None


class Calls:
    """The tool calls of one choice, numbered from 0 in order of appearance."""

    __slots__ = ("_at", "ids", "shifted")

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.shifted = False
        """Whether our numbers differ from the provider's, so that every later delta must be mended."""
        self._at: dict[int, int] = {}

    def fit(self, calls: Sequence[CallDelta]) -> bool:
        """Whether these deltas can be passed on as they are; if so, the calls they open are taken down."""
        if self.shifted:
            return False
        count = len(self.ids)
        opened = []
        for call in calls:
            name = call.function.name if call.function is not None else None
            if call.index == count and call.id and name:
                opened.append(call.id)
                count += 1
            elif not 0 <= call.index < count or call.id is not None or name is not None:
                return False
        for id_ in opened:
            self._open(len(self.ids), id_)
        return True

    def place(self, call: dict[str, Any]) -> tuple[int, bool]:
        """Our number for a delta, and whether it opens a call.

        Without an index, a new id or a name opens a call; so does a new id under an old index.
        """
        index, id_ = call.get("index"), str(call.get("id") or "")
        known = self._known(index, id_, named=bool(function_of(call).get("name")))
        if known is not None:
            return known, False
        number = len(self.ids)
        self.shifted |= index != number
        self._open(index if isinstance(index, int) else number, id_)
        return number, True

    def _known(self, index: Any, id_: str, *, named: bool) -> int | None:
        if isinstance(index, int):
            known = self._at.get(index)
            return None if known is None or (id_ and id_ != self.ids[known]) else known
        if id_:
            return self.ids.index(id_) if id_ in self.ids else None
        return len(self.ids) - 1 if self.ids and not named else None

    def _open(self, index: int, id_: str) -> None:
        self._at[index] = len(self.ids)
        self.ids.append(id_)


def function_of(call: dict[str, Any]) -> dict[str, Any]:
    """The `function` of a call or delta; {} when it has none."""
    function = call.get("function")
    return function if isinstance(function, dict) else {}
