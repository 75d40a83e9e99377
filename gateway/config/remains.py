"""What is left of a file when its wrong parts are taken out, so that the rest can still be checked."""

from collections.abc import Iterable
from typing import Any

from gateway.config.problems import Path


class Remains:
    """Holds `data` less what was taken out. Paths given are paths in `data`, unless said otherwise."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data: dict[str, Any] = _copied(data)
        self._moved: dict[Path, list[int]] = {}  # of each list that lost items, by original path: who is left
        self._gone: list[Path] = []

    def original(self, path: Path) -> Path:
        """Where a part stood before anything was taken out."""
        real: Path = ()
        for part in path:
            moved = self._moved.get(real) if isinstance(part, int) else None
            real = (*real, moved[part] if moved and isinstance(part, int) else part)
        return real

    def blames(self, original: Path) -> bool:
        """Whether something at or below this original path was taken out: the problem follows from that."""
        return any(gone[: len(original)] == original for gone in self._gone)

    def take_out(self, paths: Iterable[Path]) -> None:
        """Remove these parts; the root stands for everything."""
        for path in sorted(set(paths), reverse=True):  # later items first: the others keep their place
            real = self.original(path)
            self._gone.append(real)
            if not path:
                self.data = {}
                return
            holder: Any = self.data
            for part in path[:-1]:
                holder = holder[part]
            if isinstance(holder, list):
                self._moved.setdefault(real[:-1], list(range(len(holder)))).pop(path[-1])  # type: ignore[arg-type]  # a list is indexed by numbers
            del holder[path[-1]]


def _copied(value: Any) -> Any:
    # not copy.deepcopy: what an alias repeats must become two things, of which one can be taken out
    if isinstance(value, dict):
        return {name: _copied(inner) for name, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value
