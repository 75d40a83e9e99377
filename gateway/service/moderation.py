"""Asks whether a prompt may be passed on, before anything is reserved or sent. What it says is told to nobody else.

A list of words costs nothing and is looked at first; then a moderations endpoint is asked, where one is named. One
that cannot answer is no verdict: what then becomes of the request is the operator's choice, and is logged as such.
"""

import asyncio
import logging

from gateway.config.snapshot import Moderation, Route
from gateway.config.wording import plain
from gateway.errors import InvalidRequest, Unavailable
from gateway.transport.client import Upstream
from providers.errors import ErrorKind, ProviderError
from providers.moderations import moderation_request, moderation_response
from providers.types import HttpResponse, Target

log = logging.getLogger("fairlead.moderation")

CODE = "moderation_blocked"


class Moderator:
    """Holds requests against the rule of their route."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def check(self, route: Route, text: str, param: str) -> None:
        """Return when the text may be passed on. `param` is the field that holds it.

        Raises InvalidRequest (`moderation_blocked`), and Unavailable when nobody can say.
        """
        rule = route.moderation
        if rule is None:
            return
        if rule.denied is not None and (hit := rule.denied.search(plain(text))):
            log.info("moderation refused a prompt for %s by its list", route.model)
            message = f"The prompt holds {hit[0]!r}, which this gateway does not pass on."
            raise InvalidRequest(message, code=CODE, param=param)
        if rule.target is not None:
            await self._ask(route.model, rule, rule.target, text, param)

    async def _ask(self, model: str, rule: Moderation, target: Target, text: str, param: str) -> None:
        try:
            flagged, categories = await self._verdict(rule, target, text)
        except ProviderError as error:
            outcome = "went through unasked" if rule.allow_unasked else "was refused"
            log.warning(
                "moderation by %s failed (%s): a prompt for %s %s",
                target.provider,
                error.kind,
                model,
                outcome,
            )
            if rule.allow_unasked:
                return
            message = "The prompt could not be moderated, so it was not passed on; try again."
            raise Unavailable(message, code="moderation_unavailable", retry_after=5) from error
        if flagged:
            named = ", ".join(categories) or "no category named"
            log.info("moderation by %s refused a prompt for %s (%s)", target.provider, model, named)
            message = f"The prompt was refused by moderation ({named})."
            raise InvalidRequest(message, code=CODE, param=param)

    async def _verdict(self, rule: Moderation, target: Target, text: str) -> tuple[bool, list[str]]:
        request = moderation_request(text, target)
        deadline = asyncio.get_running_loop().time() + rule.timeout
        try:
            async with asyncio.timeout_at(deadline):
                answer = await self._upstream.send(
                    request, connect=rule.timeout, headers=rule.timeout, deadline=deadline
                )
                try:
                    body = await answer.read()
                finally:
                    answer.close()
        except TimeoutError as error:
            raise ProviderError(
                ErrorKind.TIMEOUT, "The moderations endpoint did not answer in time."
            ) from error
        flagged, named = moderation_response(
            HttpResponse(status=answer.status, headers=answer.headers, body=body)
        )
        return flagged, list(named)
