"""Says where a finished video comes from: reads the credentials a provider gave it, or puts ours on it.

A file that carries credentials is never touched: they would be void. One that carries none gets ours where a
certificate is configured. Neither can cost a video: what fails is told in the result and logged.
"""

import asyncio
import hashlib
import logging
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gateway.media.words import Claim
from gateway.media.workshop import Workshop, WorkshopError
from gateway.service.video_request import ask_of
from gateway.store.jobs import Job
from gateway.store.media import Draft, MediaStore
from gateway.store.media_rows import MediaRow
from providers import mp4
from providers.types import Json

log = logging.getLogger("fairlead.media")

_SIGNABLE = "video/mp4"
_GENERATED = "trainedAlgorithmicMedia"
_COMPOSED = "compositeWithTrainedAlgorithmicMedia"
"""IPTC's words for what a model made, and for what it made of something that was there before."""


class Studio(Struct, frozen=True, kw_only=True):
    """Who signs, and the stored video that another was made from, where its bytes are ours."""

    workshop: Workshop
    media: MediaStore
    made_from: MediaRow | None = None


async def provenance_of(draft: Draft, mime: str, job: Job, studio: Studio) -> Json:
    """What is known of a draft's origin, once it is known; the draft may be another file afterwards, signed."""
    path, workshop = await draft.on_disk(), studio.workshop
    if mime == _SIGNABLE and await asyncio.to_thread(_carries_credentials, path):
        return {"provider_marks": [await _mark(path, job, workshop)], "gateway_manifest": False}
    signed = mime == _SIGNABLE and workshop.signing is not None and await _sign(draft, job, studio)
    return {"provider_marks": [], "gateway_manifest": signed}


def _carries_credentials(path: Path) -> bool:
    with path.open("rb") as file:
        return mp4.has_credentials(mp4.reader(file), path.stat().st_size)


async def _mark(path: Path, job: Job, workshop: Workshop) -> Json:
    """Who signed it with what, as far as that can be read; `intact` is None when it cannot."""
    mark: Json = {"type": "c2pa", "signed_by": None, "generator": None, "intact": None}
    try:
        found = await workshop.credentials(path)
    except WorkshopError as error:
        log.warning("the content credentials of the video %s cannot be read: %s", job.id, error)
        return mark
    if found is None:
        return mark
    signer = found.issuer or found.name or None
    return {**mark, "signed_by": signer, "generator": found.generator or None, "intact": found.intact}


async def _sign(draft: Draft, job: Job, studio: Studio) -> bool:
    claim, row = claim_of(job), studio.made_from

    async def change(source: Path, target: Path) -> None:
        if row is None or row.mime != _SIGNABLE:
            return await studio.workshop.sign(source, target, claim)
        try:
            async with studio.media.on_disk(row.name, row.size) as ingredient:
                await studio.workshop.sign(source, target, _with_source(claim, job), ingredient)
        except (FileNotFoundError, WorkshopError):  # it has expired meanwhile, or is no ingredient
            await studio.workshop.sign(source, target, claim)

    try:
        await draft.rewrite(change)
    except WorkshopError as error:
        log.warning("the video %s could not be signed and is delivered without: %s", job.id, error)
        return False
    return True


def _with_source(claim: Claim, job: Job) -> Claim:
    """The claim with a name for the video that this one began with: ours is known by its id, another by none."""
    return replace(claim, made_from=f"{ask_of(job).remixed_from or 'source'}.mp4")


def claim_of(job: Job) -> Claim:
    """What our manifest says: who made it with what. The prompt is only hashed, nobody learns it from the file."""
    ask, made = ask_of(job), job.attempts[-1]
    facts: dict[str, str | int] = {
        "video": job.id,
        "provider": made.provider,
        "model": made.provider_model,
        "operation": ask.operation,
        "prompt_sha256": hashlib.sha256(ask.prompt.encode()).hexdigest(),
    }
    if ask.seed is not None:
        facts["seed"] = ask.seed
    begun_with = bool(ask.inputs or ask.link or ask.links or ask.remixed_from)
    return Claim(
        title=f"{job.id}.mp4",
        agent=made.provider_model,
        source=_COMPOSED if begun_with else _GENERATED,
        facts=facts,
    )
