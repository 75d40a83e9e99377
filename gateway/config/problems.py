"""What is wrong with a routing file: where, which field, and the way out. Never shows a credential."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import NamedTuple, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Where a value stands in the file: names of fields and indexes into lists, from the top."""

_MOST_NAMES = 12


class ConfigProblem(NamedTuple):
    """One thing to mend. `line` and `column` count from 1; line 0 means the file as a whole."""

    file: str
    line: int
    column: int
    field: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.field, self.message) if part)


class ConfigError(Exception):
    """A routing file that cannot be used. `problems` holds everything found, in the order of the file."""

    def __init__(self, problems: Iterable[ConfigProblem]) -> None:
        self.problems: Sequence[ConfigProblem] = sorted(set(problems), key=lambda one: (one.line, one.column))
        super().__init__("\n".join(map(str, self.problems)))


def field_name(path: Path) -> str:
    """`models.fast.targets[1].provider`: how a person would say a path."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{_short(part)}" for part in path]
    return "".join(parts).removeprefix(".")


def unknown(thing: str, name: str, known: Iterable[str]) -> str:
    """`unknown provider "grok": did you mean "groq"?`, or what there is to choose from."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    if near:
        return f'unknown {thing} "{_short(name)}": did you mean "{near[0]}"?'
    if not names:
        return f'unknown {thing} "{_short(name)}": none is defined'
    listed = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
    return f'unknown {thing} "{_short(name)}": choose one of {listed}'


def _short(name: str) -> str:
    shown = name if name.isprintable() else ascii(name)[1:-1]
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
