"""OpenAI's `/v1/videos/characters`: clips with a name, for the `characters` of later creates."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from litestar import delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter

from gateway.api.multipart import fields_of
from gateway.api.uploads import CLIP
from gateway.api.videos import AnyRequest, CallerOf, retries
from gateway.service.characters import Characters, read
from gateway.store.characters import Character

_Id = Annotated[str, PathParameter(max_length=200)]


def routes(characters: Characters, caller_of: CallerOf) -> Sequence[HTTPRouteHandler]:
    """The route handlers. OpenAI has none to delete a character; ours answers as that of videos does."""

    @post("/v1/videos/characters", summary="Create a character", status_code=200)
    async def create_character(request: AnyRequest) -> Mapping[str, Any]:
        caller = caller_of(request)
        async with fields_of(request, CLIP) as fields:
            name, clip = read(fields)
            return shown(await characters.create(caller, name, clip, retried=retries(request) > 0))

    @get("/v1/videos/characters/{character_id:str}", summary="Retrieve a character")
    async def retrieve_character(request: AnyRequest, character_id: _Id) -> Mapping[str, Any]:
        return shown(await characters.get(caller_of(request), character_id))

    @delete("/v1/videos/characters/{character_id:str}", summary="Delete a character", status_code=200)
    async def delete_character(request: AnyRequest, character_id: _Id) -> Mapping[str, Any]:
        await characters.delete(caller_of(request), character_id)
        return {"id": character_id, "object": "video.character.deleted", "deleted": True}

    return (create_character, retrieve_character, delete_character)


def shown(character: Character) -> Mapping[str, Any]:
    """A character as the official client has it (VIDEO_WIRE 1.4, 2026-11-20)."""
    return {"id": character.id, "name": character.name, "created_at": int(character.created_at)}
