"""Reads error answers of any provider, whatever the shape of their body. What they mean: `classify`.

An error inside a 2xx, or inside a stream, is read by the same rules: give it as a response with status 200.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from providers.classify import Facts, kind_of
from providers.errors import ErrorKind, ProviderError
from providers.types import UNREADABLE, HttpResponse
from providers.waits import retry_after

__all__ = ["public_text", "read_error", "retry_after"]

_SECRETS = re.compile(
    r"\bBearer\s+[^\s\"',]+"
    r"|\b(?:sk|pk|rk|gsk|xai|hf|org|proj|csk|nvapi|r8|pplx|fw)[-_][\w*-]+"
    r"|\b(?:AIza|AKIA|ASIA)[\w*-]+"
    r"|\b\w{2,8}\*{3,}[\w*]*"
    r"|\b[A-Za-z0-9]{32,}\b",
    re.IGNORECASE,
)
_LONGEST_MESSAGE = 2000
_MESSAGE_NAMES = ("message", "Message", "error", "detail", "msg", "faultstring", "title")


def read_error(
    response: HttpResponse, kinds: Mapping[str, ErrorKind] = {}, *, now_unix: float | None = None
) -> ProviderError:
    """The failure an error response tells of. Never raises.

    `kinds` maps the dialect's own codes and types, in lower case, and wins over what is known in general.
    `now_unix` serves a `retry-after` date when the answer itself carries no date. The message is fit for
    clients: keys and organisation ids are cut out.
    """
    facts = _facts(response.body)
    aws = response.headers.get("x-amzn-errortype")
    if aws:
        facts = msgspec.structs.replace(facts, code=aws.partition(":")[0])
    status = response.status
    if status < 300 and facts.code.isdigit() and 400 <= int(facts.code) < 600:
        status = int(facts.code)
    return ProviderError(
        kind_of(facts, status, kinds),
        public_text(facts.message) or f"The provider answered {response.status} without saying why.",
        status=status,
        code=facts.code if facts.code not in ("", str(status)) else None,
        param=facts.param,
        retry_after=retry_after(response.headers, response.body, now_unix=now_unix),
    )


def public_text(text: str) -> str:
    """`text` without keys, tokens and organisation ids, and of a length fit for an error message."""
    return _SECRETS.sub("***", text[:_LONGEST_MESSAGE]).strip()


def _facts(body: bytes) -> Facts:
    """The facts in any of the shapes of CHAT_WIRE 2.9 step 1; a body that is not JSON is its own message."""
    try:
        found = msgspec.json.decode(body)
    except UNREADABLE:
        text = body[:_LONGEST_MESSAGE].decode(errors="replace").strip()
        return Facts(message="" if text.startswith("<") else text)
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, dict):
        return Facts(message=_words(found))
    scope, error = _error_object(found)
    details = _objects(error.get("details"))
    violations = [violation for detail in details for violation in _objects(detail.get("violations"))]
    return Facts(
        message=_words(error),
        code=scope + _code(error),
        type=_name(error.get("type")),
        param=_param(error),
        rpc=_name(error.get("status")),
        reason=next((_name(detail["reason"]) for detail in details if "reason" in detail), ""),
        inner=_name(_object(error.get("innererror")).get("code")),
        flagged=bool(_object(error.get("metadata")).get("reasons")),
        daily=any("PerDay" in _name(violation.get("quotaId")) for violation in violations),
    )


def _error_object(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The object that tells of the error, and the scope of its codes where its shape names the provider."""
    if base := _object(body.get("base_resp")):
        return "base_resp.", {"message": base.get("status_msg"), "code": base.get("status_code")}
    if errors := _objects(body.get("errors")):
        return "errors.", errors[0]
    return "", _object(body.get("error")) or _object(body.get("fault")) or body


def _words(value: Any, depth: int = 0) -> str:
    """The message: the first text under the names that providers use for it."""
    if isinstance(value, str):
        return value
    if depth > 4:
        return ""
    if isinstance(value, list):
        return _words(value[0], depth + 1) if value else ""
    if isinstance(value, dict):
        found = (_words(value.get(name), depth + 1) for name in _MESSAGE_NAMES)
        return next((text for text in found if text), "")
    return ""


def _code(error: dict[str, Any]) -> str:
    """The most telling code; Anthropic puts that of a spend limit into `details`."""
    found = (_object(error.get("details")).get("error_code"), error.get("code"), error.get("error_code"))
    return next((name for name in map(_name, found) if name), "")


def _param(error: dict[str, Any]) -> str | None:
    """The field at fault: OpenAI's `param`, or the place a validator names in `detail[0].loc`."""
    param = error.get("param")
    if isinstance(param, str):
        return param
    places = [
        detail["loc"] for detail in _objects(error.get("detail")) if isinstance(detail.get("loc"), list)
    ]
    return ".".join(str(part) for part in places[0] if part != "body") if places else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _name(value: Any) -> str:
    """A code as text: numbers are written out, anything else is no code."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""
