"""The API's own description: what the framework knows of the ordinary routes, plus the two it never sees."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import msgspec
from litestar import Litestar, Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme


class _Ours(JsonRenderPlugin):
    """What is shown where the framework insists on showing something: else pages with scripts from elsewhere."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002
        return msgspec.json.encode(document(request.app))


CONFIG = OpenAPIConfig(
    title="Fairlead",
    version=version("fairlead"),
    description="An OpenAI-compatible gateway for chat and video.",
    path="/schema",
    render_plugins=[_Ours()],
    components=Components(security_schemes={"key": SecurityScheme(type="http", scheme="bearer")}),
    security=[{"key": []}],
)

_ERROR: Mapping[str, Any] = {
    "description": "An error, in OpenAI's form.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["error"],
                "properties": {
                    "error": {
                        "type": "object",
                        "required": ["message", "type", "param", "code"],
                        "properties": {
                            "message": {"type": "string"},
                            "type": {"type": "string"},
                            "param": {"type": ["string", "null"]},
                            "code": {"type": ["string", "null"]},
                        },
                    }
                },
            }
        }
    },
}


def _post(summary: str, body: Mapping[str, Any], answers: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "post": {
            "summary": summary,
            "security": [{"key": []}],
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            "responses": {
                "200": {"description": "The answer, as OpenAI gives it.", "content": answers},
                "default": _ERROR,
            },
        }
    }


_OBJECT = {"schema": {"type": "object"}}
_CHAT_BODY: Mapping[str, Any] = {
    "type": "object",
    "description": "OpenAI's chat completion request; fields not named here are passed on.",
    "required": ["model", "messages"],
    "properties": {
        "model": {"type": "string", "minLength": 1},
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "object", "required": ["role"], "properties": {"role": {"type": "string"}}},
        },
        "stream": {"type": ["boolean", "null"]},
        "max_completion_tokens": {"type": ["integer", "null"], "minimum": 1},
        "max_tokens": {"type": ["integer", "null"], "minimum": 1},
        "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 128},
        "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
        "top_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
    },
    "additionalProperties": True,
}
_EMBEDDING_BODY: Mapping[str, Any] = {
    "type": "object",
    "required": ["model", "input"],
    "properties": {
        "model": {"type": "string", "minLength": 1},
        "input": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        "dimensions": {"type": ["integer", "null"], "minimum": 1},
        "encoding_format": {"enum": ["float", "base64"]},
    },
    "additionalProperties": True,
}
_DIRECT: Mapping[str, Any] = {
    "/v1/chat/completions": _post(
        "Create a chat completion",
        _CHAT_BODY,
        {"application/json": _OBJECT, "text/event-stream": {"schema": {"type": "string"}}},
    ),
    "/v1/embeddings": _post("Create embeddings", _EMBEDDING_BODY, {"application/json": _OBJECT}),
}


def document(app: Litestar) -> dict[str, Any]:
    """The whole OpenAPI document. The framework's own errors in it are replaced by ours."""
    made: dict[str, Any] = app.openapi_schema.to_schema()
    for item in made["paths"].values():
        for operation in item.values():
            fine = {code: answer for code, answer in operation["responses"].items() if code < "400"}
            operation["responses"] = {**fine, "default": _ERROR}
    made["paths"] = {**_DIRECT, **made["paths"]}
    return made


@get("/openapi.json", include_in_schema=False)
async def openapi_json(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """The document, for clients and test tools; open to everyone."""
    return document(request.app)


ROUTES: tuple[HTTPRouteHandler, ...] = (openapi_json,)
