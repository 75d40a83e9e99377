"""Hooks that bring every error of the ordinary routes into OpenAI's form."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from gateway.api.chat import CLIENT_GONE
from gateway.api.edge import ClientGone
from gateway.api.render import error_body, error_headers
from gateway.errors import GatewayError, InvalidRequest, MethodNotAllowed, NotFound, TooLarge
from gateway.telemetry.record import Call

log = logging.getLogger("fairlead.api")


def _reply(request: Request[Any, Any, Any], error: GatewayError) -> Response[bytes]:
    call = request.scope.get("fairlead_call")  # set by api/observe.py
    if isinstance(call, Call):
        call.error = error.code
    headers = {
        name.decode(): value.decode("latin-1")
        for name, value in error_headers(error, "")
        if name != b"content-type"
    }
    return Response(
        error_body(error), status_code=error.status, headers=headers, media_type="application/json"
    )


def ours(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A GatewayError as it is."""
    assert isinstance(error, GatewayError)  # noqa: S101 - registered for this class only
    return _reply(request, error)


def framework(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """What Litestar itself refuses: unknown paths, wrong methods, values it could not parse."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    return _reply(request, _translated(request, error))


def _translated(request: Request[Any, Any, Any], error: HTTPException) -> GatewayError:
    path = request.scope["path"][:200]
    if error.status_code == HTTPStatus.NOT_FOUND:
        return NotFound(f"There is nothing at {request.method} {path}.")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowed(f"{path} does not take {request.method}.", headers=_allow(error))
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge("The body is too large.")
    if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        extra = error.extra[0] if isinstance(error.extra, list) and error.extra else {}
        key = str(extra.get("key") or "") or None if isinstance(extra, Mapping) else None
        detail = str(extra.get("message") or error.detail) if isinstance(extra, Mapping) else error.detail
        return InvalidRequest(f"`{key}`: {detail}" if key else detail, param=key)
    return GatewayError("The gateway failed to serve this request.", code="internal_error")


def _allow(error: HTTPException) -> dict[str, str]:
    return {name.lower(): value for name, value in (error.headers or {}).items() if name.lower() == "allow"}


def left(request: Request[Any, Any, Any], _error: Exception) -> Response[bytes]:
    """A client that left before all of its request was there: nobody reads this."""
    call = request.scope.get("fairlead_call")  # set by api/observe.py
    if isinstance(call, Call):
        call.disconnected = True
    return Response(b"", status_code=CLIENT_GONE)


def unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A bug of ours: logged with its trace, told without it."""
    log.error("unexpected error at %s", request.scope.get("path_template", "?"), exc_info=error)
    return _reply(request, GatewayError("The gateway failed to serve this request.", code="internal_error"))


EXCEPTION_HOOKS: ExceptionHandlersMap = {
    GatewayError: ours,
    HTTPException: framework,
    ClientGone: left,
    Exception: unexpected,
}
