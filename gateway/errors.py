"""What can go wrong above the providers, and how a client sees it.

    GatewayError
    ├── InvalidRequest       400  the request cannot be understood or done as asked
    │   ├── TooLarge         413
    │   └── Unprocessable    422  an idempotency key was used for another request
    ├── Unauthenticated      401  no key, or not one of ours
    ├── Forbidden            403  the key may not do this
    ├── NotFound             404  no such path, model or object (or somebody else's)
    ├── MethodNotAllowed     405
    ├── Conflict             409
    ├── LimitExceeded        429  one of the key's own limits
    ├── UpstreamFailed       429..504  every target failed; status from the last telling cause
    └── Unavailable          503  this gateway cannot serve the request now

`api/render.py` is the only place that turns one of these into bytes.
"""

from collections.abc import Mapping, Sequence

from providers.errors import ErrorKind, ProviderError


class GatewayError(Exception):
    """Base of the tree. The message names the thing, the value and the way out; it is shown to the client.

    `retry_after` is in seconds. `retry` false tells clients not to repeat the call by themselves.
    `headers` are sent with the error (the rate limit headers of a refusal, for instance).
    """

    status = 500
    type = "server_error"
    code: str | None = None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        retry: bool | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.param = param
        self.retry_after = retry_after
        self.retry = retry
        self.headers = dict(headers or {})


class InvalidRequest(GatewayError):
    """The request cannot be understood or done as asked; `param` names the field."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_value"


class TooLarge(InvalidRequest):
    """A body, a part or a field is larger than allowed."""

    status = 413
    code = "request_too_large"


class Unprocessable(InvalidRequest):
    """The request contradicts an earlier one it claims to repeat."""

    status = 422
    code = "idempotency_mismatch"


class Unauthenticated(GatewayError):
    """No key, or not one of ours. The text never says which."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"


class Forbidden(GatewayError):
    """The key is known but may not do this."""

    status = 403
    type = "permission_error"
    code = "model_not_allowed"


class NotFound(GatewayError):
    """No such path, model or object; also what a stranger sees of somebody else's object."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class MethodNotAllowed(GatewayError):
    """The path exists, but not for this method."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class Conflict(GatewayError):
    """The object is not in a state that allows this."""

    status = 409
    type = "conflict_error"
    code = "conflict"


class LimitExceeded(GatewayError):
    """One of the key's own limits was reached; nothing was used up by asking. `dimension` says of what."""

    dimension = ""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class Unavailable(GatewayError):
    """This gateway cannot serve the request now: draining, overloaded, or a store is down."""

    status = 503
    type = "service_unavailable_error"
    code = "service_unavailable"


_UPSTREAM: Mapping[ErrorKind, tuple[int, str, str]] = {
    # kind: status, type and code the client sees when no target is left
    ErrorKind.INVALID_REQUEST: (400, "invalid_request_error", "invalid_value"),
    ErrorKind.UNSUPPORTED: (400, "invalid_request_error", "unsupported_parameter"),
    ErrorKind.CONTEXT_LENGTH: (400, "invalid_request_error", "context_length_exceeded"),
    ErrorKind.CONTENT_POLICY: (400, "invalid_request_error", "content_policy_violation"),
    ErrorKind.AUTHENTICATION: (502, "server_error", "upstream_auth"),
    ErrorKind.QUOTA: (429, "insufficient_quota", "upstream_quota"),
    ErrorKind.NOT_FOUND: (502, "server_error", "upstream_model_not_found"),
    ErrorKind.RATE_LIMITED: (429, "rate_limit_error", "rate_limit_exceeded"),
    ErrorKind.OVERLOADED: (503, "service_unavailable_error", "server_is_overloaded"),
    ErrorKind.UNAVAILABLE: (503, "service_unavailable_error", "upstream_unavailable"),
    ErrorKind.TIMEOUT: (504, "server_error", "upstream_timeout"),
    ErrorKind.PROTOCOL: (502, "server_error", "bad_upstream_response"),
}
_KEEPS_WORDS = frozenset(
    (ErrorKind.INVALID_REQUEST, ErrorKind.UNSUPPORTED, ErrorKind.CONTEXT_LENGTH, ErrorKind.CONTENT_POLICY)
)
"""Kinds that are about the request: the client needs the provider's own words to mend it."""


_TELLS_LITTLE = frozenset((ErrorKind.UNSUPPORTED, ErrorKind.AUTHENTICATION, ErrorKind.NOT_FOUND))
"""Kinds that say something of one target only: shown when every target met one of these."""


class UpstreamFailed(GatewayError):
    """No target answered. `causes` holds what each attempt met, in order; never empty.

    The client is told of the last cause that tells something: 400 for an unsupported part only if all refused.
    """

    def __init__(self, causes: Sequence[ProviderError], *, headers: Mapping[str, str] | None = None) -> None:
        self.causes = tuple(causes)
        cause = next((one for one in reversed(self.causes) if one.kind not in _TELLS_LITTLE), self.causes[-1])
        self.kind = cause.kind
        self.status, self.type, code = _UPSTREAM[cause.kind]
        about_request = cause.kind in _KEEPS_WORDS
        if about_request and cause.status in (413, 422):
            self.status = cause.status
        super().__init__(
            cause.message if about_request else _public(self.causes),
            code=(cause.code or code) if about_request else code,
            param=cause.param if about_request else None,
            retry_after=cause.retry_after,
            retry=False,  # our own retries are spent; a client that repeats the call only multiplies the load
            headers=headers,
        )


def _public(causes: Sequence[ProviderError]) -> str:
    kinds = ", ".join(str(cause.kind) for cause in causes)
    return f"No provider could answer this request after {len(causes)} attempt(s): {kinds}."
