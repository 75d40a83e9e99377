"""Routing file text to a checked model, with every mistake found at once and the place of each.

What is wrong is left out of the model and the rest is still checked, so that one typing error does not hide
the next. Whoever gets a draft must look at its problems.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError

from gateway.config import document
from gateway.config.document import Document, UnreadableError
from gateway.config.model import RoutingFile
from gateway.config.problems import ConfigError, ConfigProblem, Path, field_name, unknown
from gateway.config.remains import Remains

_TELLS: Mapping[str, str] = {
    # kind of pydantic error: what a person is told, filled from the error's context
    "string_type": "must be text: put it in quotes if it is",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "list_type": "must be a list: [..., ...] or lines that begin with -",
    "dict_type": "must be a mapping of names to values; write {{}} for an empty one",
    "model_type": "must be a mapping of names to values; write {{}} for an empty one",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "needs at least {min_length}",
    "too_long": "holds more than {max_length}",
    "string_too_long": "is longer than {max_length} characters",
    "string_pattern_mismatch": "does not have the form {pattern}",
}
_SHOWN = re.compile(r"[A-Za-z_ -]{1,40}")
"""A field name that can be repeated in a message: a credential pasted in its place would hold digits."""


class Draft(NamedTuple):
    """A routing file as far as it is sound. `problems` grows while it is compiled."""

    file: str
    document: Document
    remains: Remains
    routing: RoutingFile
    problems: list[ConfigProblem]

    def report(self, path: Path, message: str) -> None:
        """Note what is wrong at a path of `routing`, unless it follows from something noted before."""
        real = self.remains.original(path)
        if not self.remains.blames(real):
            line, column = self.document.place(real)
            self.problems.append(ConfigProblem(self.file, line, column, field_name(real), message))

    def names(self, section: str) -> frozenset[str]:
        """The names defined in a section, those of unsound entries included."""
        data = self.document.data
        entries = data.get(section) if isinstance(data, dict) else None
        return frozenset(entries) if isinstance(entries, dict) else frozenset()


def load(text: str, file: str) -> Draft:
    """Check the shape of everything in `text`. Raises ConfigError only when it is not YAML at all."""
    try:
        read = document.read(text)
    except UnreadableError as error:
        raise ConfigError([ConfigProblem(file, *error.place, "", error.message)]) from error
    if not isinstance(read.data, dict):
        # an empty text is refused too: a file that is just being written must not take every key away
        raise ConfigError([ConfigProblem(file, 1, 1, "", "must hold sections: providers, models, keys, ...")])
    # a section whose entries are all commented out reads as null
    data = {name: value for name, value in read.data.items() if value is not None}
    draft = Draft(file, read, Remains(data), RoutingFile(), [])
    for path in read.twice:
        message = f"is given twice; first on line {read.places[path].line}"
        draft.problems.append(ConfigProblem(file, *read.twice[path], field_name(path), message))
    return draft._replace(routing=_sound(draft))


def _sound(draft: Draft) -> RoutingFile:
    """What is left when everything wrong was reported and taken out; the second look finds what that hid."""
    while True:
        try:
            return RoutingFile.model_validate(draft.remains.data)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
        paths = [_path(problem["loc"], draft.remains.data) for problem in found]
        for path, problem in zip(paths, found, strict=True):
            _report(draft, path, problem)
        draft.remains.take_out(paths)


def _path(loc: tuple[str | int, ...], data: Any) -> Path:
    """Where an error is: pydantic's location less the parts that are its own and not in the file."""
    path: list[str | int] = []
    for part in loc:
        inner = dict(enumerate(data)) if isinstance(data, list) else data
        if isinstance(inner, dict) and part in inner:
            data = inner[part]
            path.append(part)
    return tuple(path)


def _report(draft: Draft, path: Path, problem: Mapping[str, Any]) -> None:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        _report_unknown(draft, path)
    elif kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        draft.report(path, unknown("value", str(_value(draft.remains.data, path)), choices))
    elif kind == "value_error":
        draft.report(path, str(context["error"]))
    elif kind == "missing":
        draft.report((*path, problem["loc"][-1]), "is missing")
    else:
        message = _TELLS[kind].format_map(context) if kind in _TELLS else problem["msg"]
        draft.report(path[: path.index("key") + 1] if "key" in path else path, message)


def _report_unknown(draft: Draft, path: Path) -> None:
    name = str(path[-1])
    if _SHOWN.fullmatch(name):
        message = unknown("field", name, _model_at(path[:-1]).model_fields)
        draft.report(path, message)
    else:
        draft.report(path[:-1], "holds an unknown field (not repeated here: it could be a credential)")


def _value(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def _model_at(path: Path) -> type[BaseModel]:
    """The class that describes what stands at `path`."""
    model: type[BaseModel] = RoutingFile
    parts = iter(path)
    for part in parts:
        if isinstance(part, str):
            annotation = model.model_fields[part].annotation
            if get_origin(annotation) is dict:
                next(parts, None)  # the entry's own name
            model = next(_models_in(annotation), model)
    return model


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
