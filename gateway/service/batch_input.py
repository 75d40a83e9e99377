"""Reads a batch's file line by line, and finds everything that is wrong with it before anything is begun.

What is looked at is the envelope: one JSON object per line, an id of its own, the batch's endpoint, a model
that exists and that the key may use. Whether a request itself is sound is found out when it is made.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from gateway.config.snapshot import Caller, Snapshot
from gateway.errors import GatewayError
from gateway.service.access import allowed_route
from gateway.service.video_request import VIDEOS
from gateway.store.media import OpenFile, part
from providers.types import Json

ENDPOINTS: Mapping[str, str] = {
    "/v1/videos": "video",
    "/v1/chat/completions": "chat",
    "/v1/embeddings": "embedding",
}
"""What a batch may be for, and the kind of model it takes."""
MAX_ROWS = 50_000
MAX_LINE = 24 * 1024 * 1024
"""Bytes of one line: a picture as a data: URI and the rest of the request."""
MAX_ID = 512
MAX_ERRORS = 100
"""Mistakes that are told of one file."""
_FIRST_PIECE, _PIECE = 1 << 14, 1 << 20
"""Bytes read at a time: few at first, since mostly a few lines are wanted, or all."""
_BREATH = 100
"""Lines looked at in a row before others get a turn."""


class Line(NamedTuple):
    """One line that is not blank: its number from 1, where it begins, and its bytes; None when it is too long."""

    number: int
    start: int
    data: bytes | None


class Request(Struct):
    """What a line holds; `body` is JSON as it was written."""

    custom_id: str
    method: str
    url: str
    body: Raw


class Checked(Struct, frozen=True, kw_only=True):
    """What was found in a file: how many requests, of which one model (None: several), or what is wrong."""

    total: int = 0
    model: str | None = None
    errors: Sequence[Json] = ()


class Mistake(Exception):
    """What is wrong with one line, as OpenAI's `errors.data` tells it."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param

    def told(self, line: int | None) -> dict[str, Any]:
        """OpenAI's BatchError; `line` is None for what concerns the whole file."""
        return {"code": self.code, "line": line, "message": self.message, "param": self.param}


_request = msgspec.json.Decoder(Request).decode
_head = msgspec.json.Decoder(dict[str, Raw]).decode


async def lines(file: OpenFile, start: int = 0) -> AsyncGenerator[Line]:
    """The lines from a byte at which one begins; numbers count from there, blank lines included."""
    rest, number, at = b"", 0, start
    skipped = 0  # bytes of a line that is too long, thrown away so far
    size = _FIRST_PIECE
    while piece := await part(file, begin := at + skipped + len(rest), begin + size):
        size = min(2 * size, _PIECE)
        *whole, rest = (rest + piece).split(b"\n")
        for data in whole:
            number += 1
            length = skipped + len(data)
            if data.strip() or skipped:
                yield Line(number, at, None if length > MAX_LINE else data)
            at, skipped = at + length + 1, 0
        if skipped + len(rest) > MAX_LINE:
            rest, skipped = b"", skipped + len(rest)
    if rest.strip() or skipped:
        yield Line(number + 1, at, None if skipped else rest)


def read_line(data: bytes | None, endpoint: str) -> Request:
    """The request of a line. Raises Mistake."""
    if data is None:
        raise Mistake("line_too_long", f"This line has more than {MAX_LINE} bytes.")
    try:
        made = _request(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        if isinstance(error, msgspec.ValidationError):
            message = f"This line must hold the strings custom_id, method and url, and a body: {error}."
            raise Mistake("missing_required_parameter", message) from error
        raise Mistake("invalid_json_line", "This line is not valid JSON.") from error
    if not 0 < len(made.custom_id) <= MAX_ID or not made.custom_id.isprintable():
        message = f"`custom_id` must hold 1 to {MAX_ID} printable characters."
        raise Mistake("invalid_custom_id", message, "custom_id")
    if made.method != "POST":
        raise Mistake("invalid_method", f"`method` is {made.method[:20]!r}; it must be POST.", "method")
    if made.url != endpoint:
        message = f"`url` is {made.url[:80]!r}; the batch is for {endpoint}."
        raise Mistake("invalid_url", message, "url")
    return made


def model_of(body: Raw, endpoint: str) -> str:
    """The model that a request names. Raises Mistake."""
    try:
        fields = _head(body)
        model = msgspec.json.decode(fields["model"], type=str) if "model" in fields else None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message = "`body` must be a JSON object, and its `model` a string."
        raise Mistake("invalid_type", message, "body") from error
    if model is None and endpoint == "/v1/videos":
        model = VIDEOS.model
    if not model:
        raise Mistake("missing_required_parameter", "`body.model` is required.", "body.model")
    return model


class Inspection:
    """Looks at one file for one key under one configuration."""

    def __init__(self, snapshot: Snapshot, caller: Caller, endpoint: str) -> None:
        self._snapshot = snapshot
        self._caller = caller
        self._endpoint = endpoint
        self._ids: set[str] = set()
        self._models: set[str] = set()
        self._errors: list[Json] = []

    async def look(self, file: OpenFile) -> Checked:
        """Everything that is wrong with the file, up to MAX_ERRORS; or how much there is to do."""
        total = 0
        async with aclosing(lines(file)) as found:
            async for line in found:
                total += 1
                self._look_at(line)
                if total > MAX_ROWS or len(self._errors) >= MAX_ERRORS:
                    break
                if total % _BREATH == 0:
                    await asyncio.sleep(0)
        if total > MAX_ROWS:
            much = Mistake("too_many_requests", f"A batch takes at most {MAX_ROWS} requests.")
            self._errors.insert(0, much.told(None))
        if total == 0:
            self._errors.append(Mistake("empty_file", "The file holds no request.").told(None))
        model = next(iter(self._models)) if len(self._models) == 1 else None
        return Checked(total=total, model=model, errors=self._errors)

    def _look_at(self, line: Line) -> None:
        try:
            self._check(line)
        except Mistake as mistake:
            self._errors.append(mistake.told(line.number))

    def _check(self, line: Line) -> None:
        request = read_line(line.data, self._endpoint)
        if request.custom_id in self._ids:
            message = f"`custom_id` {request.custom_id[:80]!r} stands in an earlier line, too."
            raise Mistake("duplicate_custom_id", message, "custom_id")
        self._ids.add(request.custom_id)
        model = model_of(request.body, self._endpoint)
        if model not in self._models:
            try:
                allowed_route(self._snapshot, self._caller, model, ENDPOINTS[self._endpoint])
            except GatewayError as error:
                raise Mistake(error.code or "invalid_value", error.message, "body.model") from error
            self._models.add(model)
