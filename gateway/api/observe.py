"""Opens and closes the record of every request that the ordinary routes serve, and names it to the client."""

from gateway.api.edge import App, Message, Receive, Scope, Send
from gateway.telemetry.recorder import Recorder

UNRECORDED = ("/livez", "/readyz", "/metrics")
"""Asked every few seconds by machines; a record of each would drown the others."""


def observed(app: App, recorder: Recorder) -> App:
    """The app with a record around each request."""

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNRECORDED:
            await app(scope, receive, send)
        else:
            await _recorded(app, recorder, scope, receive, send)

    return outer


async def _recorded(app: App, recorder: Recorder, scope: Scope, receive: Receive, send: Send) -> None:
    traceparent = next((value for name, value in scope["headers"] if name == b"traceparent"), None)
    call = recorder.begin(scope["method"], "", scope["path"], traceparent)
    scope["fairlead_call"] = call

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            call.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", call.request_id.encode())]
        await send(message)

    try:
        await app(scope, receive, told)
    finally:
        call.route = scope.get("path_template") or "unmatched"
        recorder.end(call)
