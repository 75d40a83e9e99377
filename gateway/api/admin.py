"""`/admin/*`: what operators may read, with a credential of its own that no gateway key stands in for."""

import hmac
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter
from msgspec import Struct

from gateway.config.live import Live
from gateway.config.snapshot import Caller
from gateway.errors import Unauthenticated
from gateway.service.admission import Admission
from gateway.service.board import Board
from gateway.service.keys import KeyRing
from gateway.service.limit_rows import LimitRow, of_caller, quotas
from gateway.service.targets import TargetRow, route_rows, target_rows
from providers.types import Secret


def authenticate_admin(key: Secret | None, headers: Mapping[str, str]) -> None:
    """Raise Unauthenticated unless the headers carry the admin key; nobody is let in while none is set."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    wanted = key.reveal() if key is not None else ""
    same = hmac.compare_digest(given.strip().encode(), wanted.encode())
    if not (wanted and same and scheme.lower() == "bearer"):
        raise Unauthenticated(
            "No valid admin key was given. Send FAIRLEAD_ADMIN_KEY as `Authorization: Bearer ...`."
        )


class Watched(Struct, frozen=True, kw_only=True):
    """What operators may look at."""

    live: Live
    board: Board
    ring: KeyRing
    admission: Admission


def routes(key: Secret | None, watched: Watched) -> Sequence[HTTPRouteHandler]:
    """The route handlers."""
    live, board = watched.live, watched.board

    @get("/admin/targets", summary="Health, speed and load of every target")
    async def targets(request: Request[Any, Any, Any]) -> dict[str, Any]:
        authenticate_admin(key, request.headers)
        rows: list[TargetRow] = target_rows(live.current, board)
        return {"object": "list", "data": rows, "routes": route_rows(live.current, board)}

    @get("/admin/limits", summary="What is left of every key's limits and every target's quota")
    async def limits(
        request: Request[Any, Any, Any],
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
        after: Annotated[str, QueryParameter(max_length=200)] = "",
    ) -> dict[str, Any]:
        authenticate_admin(key, request.headers)
        callers = watched.ring.callers()
        begin = bisect_right(callers, after, key=lambda caller: caller.id)
        shown = callers[begin : begin + limit]
        return {
            "object": "list",
            "data": [
                {"key": caller.id, "name": caller.name, "limits": await rows_of(caller)} for caller in shown
            ],
            "targets": [
                {"target": target, "limits": await rows_of(quota)}
                for target, quota in quotas(live.current).items()
            ],
            "has_more": begin + limit < len(callers),
        }

    async def rows_of(caller: Caller) -> Sequence[LimitRow]:
        return await of_caller(watched.admission, caller, live.current)

    return (targets, limits)
