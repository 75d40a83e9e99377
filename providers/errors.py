"""One error type for everything a provider can do wrong, with the one fact routing needs: its kind."""

from enum import StrEnum


class ErrorKind(StrEnum):
    """Why a call failed. What follows from each kind is decided by the failover table and nowhere else."""

    INVALID_REQUEST = "invalid_request"  # the caller's fault: no other target will do better
    UNSUPPORTED = "unsupported"  # this target cannot take a part of the request; another may
    CONTEXT_LENGTH = "context_length"  # this model's window is too small: a larger one may do
    CONTENT_POLICY = "content_policy"
    AUTHENTICATION = "authentication"  # our credential: try elsewhere, tell the operator
    QUOTA = "quota"  # our credential's money or allowance is used up
    NOT_FOUND = "not_found"  # the upstream does not know the model
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"  # 5xx, refused, reset
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"  # unreadable, empty, or cut before the first content


class ProviderError(Exception):
    """A failed upstream call.

    `status` is the HTTP status, None when no answer came; `code` and `param` are the provider's own words;
    `retry_after` is in seconds, None when the provider did not say. `sent` is false only when it is
    certain that nothing of the request reached the provider, so that even a video submit may be repeated.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        sent: bool = True,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.code = code
        self.param = param
        self.retry_after = retry_after
        self.sent = sent
