"""Liveness, readiness and metrics: what machines ask every few seconds."""

from collections.abc import Callable, Sequence

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from gateway.telemetry.metrics import Metrics

EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


def routes(metrics: Metrics, ready: Callable[[], str | None]) -> Sequence[HTTPRouteHandler]:
    """`ready` says why the gateway should get no new requests, None while it should."""

    @get("/livez", include_in_schema=False)
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @get("/readyz", include_in_schema=False)
    async def readyz() -> Response[dict[str, str]]:
        reason = ready()
        if reason is None:
            return Response({"status": "ready"})
        return Response({"status": "not ready", "reason": reason}, status_code=503)

    @get("/metrics", include_in_schema=False)
    async def exposition() -> Response[bytes]:
        return Response(metrics.exposition(), media_type=EXPOSITION)

    return (livez, readyz, exposition)
