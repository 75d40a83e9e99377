"""YAML text to plain values that remember where they stood. The only importer of the YAML library.

Reads the parser's events instead of its trees: depth, size and aliases are bounded here, so that no text can
exhaust the stack or the memory. Plain words mean what YAML 1.2 says they mean: `no` and `on` are text, and
so is `2026-11-20`. Keys are always text.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml

from gateway.config.problems import Path

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # a PyYAML that was built without libyaml: slower, otherwise the same
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]  # both offer the events that are read here

MAX_BYTES = 1 << 20
MAX_DEPTH = 24
MAX_NODES = 100_000
"""Values in a document, those behind aliases counted each time they are used."""

_INT = re.compile(r"[-+]?[0-9][0-9_]{0,29}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?")
_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class Place(NamedTuple):
    """A position in the text, counted from 1."""

    line: int
    column: int


class UnreadableError(Exception):
    """The text is not YAML, or more of it than is read here."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place
        self.message = message


class Document(NamedTuple):
    """`places` holds where each value begins (where its key does, in a mapping), `twice` keys given again."""

    data: Any
    places: Mapping[Path, Place]
    twice: Mapping[Path, Place]

    def place(self, path: Path) -> Place:
        """Where a value stands, or the nearest thing around it that was written down."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(1, 1))


def read(text: str) -> Document:
    """The one document in `text`. Raises UnreadableError."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise UnreadableError(Place(1, 1), "holds a character that cannot be written as UTF-8") from error
    if size > MAX_BYTES:
        raise UnreadableError(Place(1, 1), f"is {size} bytes long; at most {MAX_BYTES} are read")
    reading = _Reading(yaml.parse(text, Loader=_Loader))
    try:
        return reading.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        raise UnreadableError(place, f"not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise UnreadableError(Place(1, 1), "not YAML: holds a character that is not allowed") from error


class _Reading:
    """Walks the events of one text; recursion is bounded by MAX_DEPTH."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._places: dict[Path, Place] = {}
        self._twice: dict[Path, Place] = {}
        self._anchors: dict[str | None, tuple[Any, int]] = {}
        self._nodes = 0

    def document(self) -> Document:
        for event in self._events:
            if not isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
                break
        else:
            event = yaml.StreamEndEvent()
        data = None if isinstance(event, yaml.StreamEndEvent) else self._value(event, ())
        for rest in self._events:
            if isinstance(rest, yaml.DocumentStartEvent):
                raise UnreadableError(_place(rest), "a second document begins here; only one is read")
        return Document(data, self._places, self._twice)

    def _value(self, event: yaml.Event, path: Path) -> Any:
        self._places.setdefault(path, _place(event))
        self._count(event, 1)
        if not isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            return self._alias(event)
        if len(path) > MAX_DEPTH:
            raise UnreadableError(_place(event), f"is nested deeper than {MAX_DEPTH} levels")
        if event.tag not in (None, "!"):
            raise UnreadableError(_place(event), "tags such as !!int are not read here: leave the tag out")
        before = self._nodes
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = _plain(event) if event.implicit[0] else event.value
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(path)
        else:
            value = self._mapping(path)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._nodes - before)
        return value

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise UnreadableError(_place(event), "a key must be plain text")
            inner = (*path, event.value)
            if event.value in items:
                self._twice.setdefault(inner, _place(event))
            self._places.setdefault(inner, _place(event))
            items[event.value] = self._value(next(self._events), inner)
        return items

    def _alias(self, event: yaml.Event) -> Any:
        anchor = event.anchor if isinstance(event, yaml.AliasEvent) else None
        if anchor not in self._anchors:
            raise UnreadableError(_place(event), "an alias (*) must come after the anchor (&) it names")
        value, nodes = self._anchors[anchor]
        self._count(event, nodes)
        return value

    def _count(self, event: yaml.Event, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise UnreadableError(
                _place(event), f"more than {MAX_NODES} values, counting what aliases repeat"
            )


def _place(event: yaml.Event) -> Place:
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)


def _plain(event: yaml.ScalarEvent) -> str | int | float | bool | None:
    word: str = event.value
    if word in _WORDS:
        return _WORDS[word]
    if word[0] in "+-.0123456789":
        if _INT.fullmatch(word):
            return int(word.replace("_", ""))
        if _FLOAT.fullmatch(word):
            return float(word.replace("_", ""))
    return word
