"""Why the worker does not do what it was asked."""


class RefusalError(Exception):
    """Shown to the client as OpenAI's error JSON; the message names the field, its value and what is allowed.

    `retry_after` is in seconds.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after = retry_after
