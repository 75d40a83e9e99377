"""`/admin/*`: what operators may read, with a credential of its own that no gateway key stands in for."""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Request, get
from litestar.handlers import HTTPRouteHandler

from gateway.config.live import Live
from gateway.errors import Unauthenticated
from gateway.service.board import Board
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


def routes(key: Secret | None, live: Live, board: Board) -> Sequence[HTTPRouteHandler]:
    """The route handlers."""

    @get("/admin/targets", summary="Health, speed and load of every target")
    async def targets(request: Request[Any, Any, Any]) -> dict[str, Any]:
        authenticate_admin(key, request.headers)
        rows: list[TargetRow] = target_rows(live.current, board)
        return {"object": "list", "data": rows, "routes": route_rows(live.current, board)}

    return (targets,)
