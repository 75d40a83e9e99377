"""`POST /v1/route/explain`: what would become of a request. Its body is that request's own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from litestar import Request, post
from litestar.handlers import HTTPRouteHandler
from msgspec import Raw, Struct
from msgspec.structs import replace

from gateway.api.body import chat_wish, embedding_wish
from gateway.api.edge import MAX_JSON_BODY
from gateway.api.hints import REGION, SESSION, TAGS, hints_in, placed
from gateway.clock import Clock
from gateway.config.snapshot import Caller, Snapshot
from gateway.errors import InvalidRequest
from gateway.service import explain, video_request
from gateway.service.admission import Admission
from gateway.service.board import Board
from gateway.service.explain import Explanation
from gateway.service.field_values import json_fields
from gateway.service.weighing import weigh
from gateway.service.wish import Wish
from gateway.telemetry.record import Call

AnyRequest: TypeAlias = Request[Any, Any, Any]
_YES = (b"true", b"True", b"1")
_OLDER = frozenset(("duration", "resolution", "style_preset", "camera_movement", "image", "image_url"))
"""Fields that only the older form of a video request has."""

_fields = msgspec.json.Decoder(dict[str, Raw]).decode


class Explaining(Struct, frozen=True, kw_only=True):
    """What an explanation is made from. `snapshot` gives the current configuration with what the workers told."""

    snapshot: Callable[[], Snapshot]
    board: Board
    admission: Admission
    clock: Clock


def routes(parts: Explaining, caller_of: Callable[[AnyRequest], Caller]) -> Sequence[HTTPRouteHandler]:
    """The route handler."""

    @post(
        "/v1/route/explain",
        summary="Explain where a request would go",
        status_code=200,
        request_max_body_size=MAX_JSON_BODY,
    )
    async def explain_route(request: AnyRequest) -> dict[str, Any]:
        caller = caller_of(request)
        headers = dict(request.scope["headers"])
        wish = read(await request.body(), headers, int(parts.clock.now()))
        call: Call = request.scope["fairlead_call"]  # type: ignore[typeddict-item]  # set by api/observe.py
        told = explained(parts.snapshot(), caller, wish, parts.board, call.request_id)
        return explain.body(
            told, await parts.admission.headroom(caller, told.model, call.request_id, told.costs)
        )

    return (explain_route,)


def read(body: bytes, headers: Mapping[bytes, bytes], created: int) -> Wish | video_request.Wish:
    """The request in the body of a chat, embeddings or video call. Raises InvalidRequest."""
    try:
        fields = _fields(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        fields = {}
    if "messages" not in fields and "input" not in fields and "prompt" in fields:
        surface = video_request.GENERATIONS if fields.keys() & _OLDER else video_request.VIDEOS
        return placed(video_request.read(surface, json_fields(body)), headers)
    if "messages" not in fields and "input" not in fields:
        raise InvalidRequest(
            "The body must be that of a chat, embeddings or video request: JSON with `model`, and `messages`, "
            "`input` or `prompt`.",
            code="missing_required_parameter",
        )
    strict = headers.get(b"x-fairlead-strict") in _YES
    wish = (chat_wish if "messages" in fields else embedding_wish)(body, created, strict=strict)
    if TAGS in headers or REGION in headers or SESSION in headers:
        wish = replace(wish, hints=hints_in(headers))
    return wish


def explained(
    snapshot: Snapshot, caller: Caller, wish: Wish | video_request.Wish, board: Board, request_id: str
) -> Explanation:
    """What would become of a request. Raises what it would be refused with before any target is looked at."""
    if isinstance(wish, video_request.Wish):
        return explain.of_video(snapshot, caller, wish, board)
    return explain.of_request(weigh(snapshot, caller, wish), request_id, board)
