"""Starts the processes that look into videos: a pool of two, and a fresh process for every file.

A decoder that crashes, hangs or eats memory on what a stranger made takes its own process with it and nothing else;
and between two videos nothing of it stays. A process costs about a third of a second of one core.
"""

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from gateway.media.words import Claim, Credentials, Order, Outcome, Signing, Stills

AT_ONCE = 2
SECONDS = 60.0
SIGN_SECONDS = 600.0
"""Signing reads the whole file more than once, and files of gigabytes are allowed."""
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")
"""All that such a process sees of the environment: keys of providers are none of its business."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Outcome).decode


class WorkshopError(Exception):
    """It could not be done; the text says why and names nothing of the file's content."""


class Workshop:
    """The pool of one gateway process. `signing` is what our own manifests are signed with, None for none."""

    def __init__(self, signing: Signing | None = None, seconds: float = SECONDS) -> None:
        self.signing = signing
        self._seconds = seconds
        self._places = asyncio.Semaphore(AT_ONCE)

    async def stills(self, path: Path, mime: str) -> Stills:
        """Stills of a video. Raises WorkshopError."""
        outcome = await self._run(Order(what="stills", path=str(path), mime=mime), self._seconds)
        if outcome.stills is None:
            raise WorkshopError("there is no still")
        return outcome.stills

    async def credentials(self, path: Path) -> Credentials | None:
        """What the credentials of an MP4 say; None when there are none. Raises WorkshopError."""
        return (await self._run(Order(what="read", path=str(path)), self._seconds)).credentials

    async def sign(self, source: Path, target: Path, claim: Claim, ingredient: Path | None = None) -> None:
        """Write a signed copy of an MP4; `ingredient` is what the claim says it was made from.

        Raises WorkshopError.
        """
        order = Order(
            what="sign", path=str(source), target=str(target), claim=claim, signing=self.signing,
            ingredient="" if ingredient is None else str(ingredient),
        )  # fmt: skip
        await self._run(order, max(SIGN_SECONDS, self._seconds))

    async def _run(self, order: Order, seconds: float) -> Outcome:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        async with self._places:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-m", "gateway.media.child", env=environment,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            try:
                async with asyncio.timeout(seconds):
                    said, _ = await process.communicate(_encode(order))
            except TimeoutError as error:
                raise WorkshopError(f"it took longer than {seconds:g} s") from error
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if process.returncode != 0:
            raise WorkshopError(f"the process ended with {process.returncode}")
        outcome = _decode(said)
        if outcome.failure:
            raise WorkshopError(outcome.failure)
        return outcome
