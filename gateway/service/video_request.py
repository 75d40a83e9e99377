"""What a client asked for, in one form for every surface, with each field checked (pure).

Here it is decided what a field means and whether its value makes sense at all; whether any target can do it
is decided afterwards, by `videos.py` with `routing/video.py`.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import InvalidRequest
from gateway.routing.video import Wanted
from gateway.service import field_values as values
from gateway.service.video_inputs import MAX_ID, Filed, Source, Upload, picture, source
from gateway.store.jobs import Job
from providers.types import Json
from providers.video.fields import CAMERA, Words

MAX_PROMPT = 32_000
MAX_TEXT = 2_000

FIRST_FRAME, LAST_FRAME, REFERENCE = "first_frame", "last_frame", "reference_image"
SOURCE, CHARACTER = "source_video", "reference_video"
MAX_REFERENCES = 9


class Ask(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One video to make, as asked and kept with the job. `seconds` and `size` None until defaults are chosen.

    What was not said is not written, so that a field added tomorrow changes no fingerprint of today.

    `link` is the address of a first frame that the provider fetches itself, `links` are role and address of
    other pictures; `inputs` are the roles of stored files, one each. A remix names the job it came from, the
    target that made it (`home`) and that target's operation; an edit or an extension begins with one of the
    stored files, which is `source_seconds` long, and `seconds` is what it makes anew. `priced` says that only
    targets with a known price may serve it, `strict` only those that need nothing folded into the prompt or
    left out. `tags` and `region` are what a target must have, `draw` is what canaries go by. `deadline` is in how
    many seconds from its acceptance it must be there.
    `callback_url` is where its end is told, `base_url` where clients find this gateway, `trace` the
    W3C traceparent of the request; no provider sees any of them.
    """

    surface: str
    model: str
    prompt: str
    operation: str = "generate"
    seconds: float | None = None
    size: str | None = None
    seed: int | None = None
    negative_prompt: str | None = None
    style_preset: str | None = None
    camera_movement: str | None = None
    audio: bool | None = None
    strength: float | None = None
    strict: bool = False
    link: str | None = None
    links: Sequence[tuple[str, str]] = ()
    inputs: Sequence[str] = ()
    source_seconds: float = 0.0
    remixed_from: str | None = None
    home: str | None = None
    source: Json | None = None
    priced: bool = False
    tags: Sequence[str] = ()
    region: str = ""
    draw: float | None = None
    deadline: float | None = None
    callback_url: str | None = None
    base_url: str = ""
    trace: str = ""

    def said(self) -> str:
        """The client's own words for what shall be seen."""
        return "\n".join(filter(None, (self.prompt, self.style_preset, self.camera_movement)))


class Wish(Struct, frozen=True, kw_only=True):
    """An ask with the files that came along, one for each of its inputs, and the names of unknown fields.

    `filed` are role and id of pictures that were uploaded before, `characters` the ids of characters: the files of both
    have yet to be found. `cache_key` is what its result is found by, where the client lets us.
    """

    ask: Ask
    files: Sequence[Upload] = ()
    filed: Sequence[tuple[str, Filed]] = ()
    characters: Sequence[str] = ()
    ignored: Sequence[str] = ()
    cache_key: bytes | None = None

    def fingerprint(self) -> bytes:
        """The same for every repetition of this request, however it was written down."""
        files = [file.sha256 for file in self.files] or [""]
        return hashlib.sha256(msgspec.json.encode([self.ask, *files])).digest()


class Change(Struct, frozen=True, kw_only=True):
    """A wish to edit or extend a video, and where that video is. The ask's model is empty when none was named."""

    wish: Wish
    source: Source


class Surface(Struct, frozen=True, kw_only=True):
    """The names one surface gives to the fields. Where there are several, only one may be given."""

    name: str
    seconds: Sequence[str]
    size: Sequence[str]
    picture: Sequence[str]
    video: Sequence[str]
    model: str | None


VIDEOS = Surface(
    name="videos",
    seconds=("seconds",),
    size=("size",),
    picture=("input_reference",),
    video=("video",),
    model="sora-2",
)
GENERATIONS = Surface(
    name="generations",
    seconds=("duration", "seconds"),
    size=("resolution", "size"),
    picture=("image", "image_url", "input_reference"),
    video=("video", "video_url", "previous_job_id"),
    model=None,
)
_OPERATIONS = ("edit", "extend")


def read(surface: Surface, fields: Mapping[str, object]) -> Wish:
    """The wish in a decoded JSON object or form. Raises InvalidRequest naming field, value and way out."""
    left = {name: value for name, value in fields.items() if value is not None}
    _check_count(left)
    pictures = _pictures(surface, left)
    ask = Ask(
        surface=surface.name,
        model=values.text(left, "model", 256) or _default_model(surface),
        prompt=values.needed(left, "prompt", MAX_PROMPT),
        seconds=values.seconds(left, surface.seconds),
        size=values.size(left, surface.size),
        link=next((link for role, link, _ in pictures if link and role == FIRST_FRAME), None),
        links=[(role, link) for role, link, _ in pictures if link and role != FIRST_FRAME],
        **_manner(left),
    )
    wish = with_files(Wish(ask=ask), [(role, file) for role, _, file in pictures if isinstance(file, Upload)])
    filed = [(role, file) for role, _, file in pictures if isinstance(file, Filed)]
    return replace(wish, filed=filed, characters=_characters(left), ignored=sorted(left)[:20])


def begins_with_video(fields: Mapping[str, object]) -> bool:
    """Whether a request of the older form is to edit or extend a video."""
    return any(fields.get(name) is not None for name in GENERATIONS.video)


def read_change(surface: Surface, fields: Mapping[str, object], operation: str | None = None) -> Change:
    """The edit or extension in a decoded JSON object or form, which says itself which where it is not given.

    Raises InvalidRequest.
    """
    left = {name: value for name, value in fields.items() if value is not None}
    found = source(*values.one_of(left, surface.video), text=surface is not VIDEOS)
    operation = operation or values.choice(left, "operation", _OPERATIONS, "edit")
    seconds = (
        values.seconds(left, surface.seconds) if operation == "extend" or surface is not VIDEOS else None
    )
    _check_length(surface.seconds[0], operation, seconds)
    model = values.text(left, "model", 256) or ("" if found.id else surface.model)
    ask = Ask(
        surface=surface.name,
        model=_default_model(surface) if model is None else model,
        prompt=values.needed(left, "prompt", MAX_PROMPT),
        operation=operation,
        seconds=seconds,
        strength=values.strength(left) if operation == "edit" else None,
        **_manner(left),
    )
    return Change(wish=Wish(ask=ask, ignored=sorted(left)[:20]), source=found)


def begun_with(wish: Wish, file: Upload, seconds: float, size: str | None) -> Wish:
    """A wish to edit or extend with the video it begins with, which is so long and so large."""
    ask = wish.ask
    ask = replace(
        ask,
        inputs=(SOURCE,),
        source_seconds=seconds,
        seconds=ask.seconds if ask.operation == "extend" else seconds,
        size=size,
    )
    return replace(wish, ask=ask, files=(file,))


def with_files(wish: Wish, found: Sequence[tuple[str, Upload]]) -> Wish:
    """A wish with further files and their roles."""
    ask = replace(wish.ask, inputs=[*wish.ask.inputs, *(role for role, _ in found)])
    return replace(wish, ask=ask, files=[*wish.files, *(file for _, file in found)])


def seconds_shown(ask: Ask) -> float:
    """The length of the video as a whole: an extension is as long as what it begins with and what it adds."""
    return (ask.seconds or 0.0) + (ask.source_seconds if ask.operation == "extend" else 0.0)


def ask_of(job: Job) -> Ask:
    """What was asked for, as kept in the job's row."""
    return msgspec.convert(job.request, Ask)


def wanted(ask: Ask, now: float) -> Wanted:
    """What routing must know, at Unix time `now`, of an ask whose length and size are chosen."""
    linked = [FIRST_FRAME] if ask.link else []
    linked += [role for role, _ in ask.links]
    return Wanted(
        seconds=ask.seconds or 0.0,
        size=ask.size or "",
        inputs=(*ask.inputs, *linked),
        linked=bool(linked),
        uploaded=bool(ask.inputs),
        audio=ask.audio,
        seed=ask.seed is not None,
        strength=ask.strength,
        words=Words(
            prompt=ask.prompt, negative_prompt=ask.negative_prompt,
            style_preset=ask.style_preset, camera_movement=ask.camera_movement,
        ),
        strict=ask.strict,
        home=ask.home,
        priced=ask.priced,
        now=now,
        operation=ask.operation,
        tags=frozenset(ask.tags),
        region=ask.region,
        draw=None if ask.home else ask.draw,
    )  # fmt: skip


def field_name(surface: str, field: str) -> str:
    """What a surface calls one of routing's fields (seconds, size, inputs, ...), or a role of a picture."""
    names = GENERATIONS if surface == GENERATIONS.name else VIDEOS
    own = {
        "seconds": names.seconds[0], "size": names.size[0], "inputs": names.picture[0], "links": names.picture[0],
        FIRST_FRAME: names.picture[0], REFERENCE: "reference_images", SOURCE: "video", CHARACTER: "characters",
    }  # fmt: skip
    return own.get(field, field)


def read_remix(fields: Mapping[str, object]) -> Mapping[str, Any]:
    """What a remix says itself, as fields of an ask. Raises InvalidRequest."""
    left = {name: value for name, value in fields.items() if value is not None}
    return {
        "prompt": values.needed(left, "prompt", MAX_PROMPT),
        "strength": values.strength(left),
        "deadline": values.deadline(left),
        "callback_url": values.text(left, "callback_url", MAX_TEXT),
    }


def stored_roles(inputs: Sequence[str]) -> list[str]:
    """The roles under which the files of an ask are kept: its inputs, those that repeat with a number."""
    before = [inputs[:at].count(role) for at, role in enumerate(inputs)]
    return [f"{role}-{count + 1}" if count else role for role, count in zip(inputs, before, strict=True)]


def _default_model(surface: Surface) -> str:
    if surface.model is None:
        raise InvalidRequest("`model` is required.", code="missing_required_parameter", param="model")
    return surface.model


def _manner(left: dict[str, object]) -> dict[str, Any]:
    """The fields that every kind of ask has: in which manner it is to be made, by when, and who is told."""
    return {
        "seed": values.seed(left),
        "negative_prompt": values.text(left, "negative_prompt", MAX_TEXT),
        "style_preset": values.text(left, "style_preset", 100),
        "camera_movement": _camera(left),
        "audio": values.flag(left, "audio"),
        "strict": _strict(left),
        "deadline": values.deadline(left),
        "callback_url": values.text(left, "callback_url", MAX_TEXT),
    }


def _check_length(name: str, operation: str, seconds: float | None) -> None:
    if operation == "extend" and seconds is None:
        message = f"`{name}` is required: how much longer the video shall be."
        raise InvalidRequest(message, code="missing_required_parameter", param=name)
    if operation == "edit" and seconds is not None:
        message = (
            f"`{name}` is {seconds:g}, but an edit is as long as what it begins with; leave `{name}` out, or "
            "send `operation`: extend."
        )
        raise InvalidRequest(message, code="mutually_exclusive", param=name)


def _pictures(
    surface: Surface, left: dict[str, object]
) -> list[tuple[str, str | None, Upload | Filed | None]]:
    """Role, link and file of every picture, of which link or file is given."""
    text = surface is not VIDEOS
    name, first = values.one_of(left, surface.picture)
    given = [(FIRST_FRAME, name, first, text), (LAST_FRAME, "last_frame", left.pop("last_frame", None), True)]
    references = values.several(left, "reference_images", MAX_REFERENCES, "pictures")
    given += [(REFERENCE, f"reference_images[{at}]", one, True) for at, one in enumerate(references)]
    if surface is not VIDEOS:
        images = values.several(left, "images", 2, "pictures")
        if images and any(value is not None for _, _, value, _ in given[:2]):
            message = (
                "`images` holds the first frame and the last; send either these or `image` and `last_frame`."
            )
            raise InvalidRequest(message, code="mutually_exclusive", param="images")
        frames = zip((FIRST_FRAME, LAST_FRAME), images, strict=False)
        given += [(role, f"images[{at}]", one, True) for at, (role, one) in enumerate(frames)]
    found = [(role, *picture(name, value, text=text)) for role, name, value, text in given]
    return [(role, link, file) for role, link, file in found if link or file]


def _characters(left: dict[str, object]) -> list[str]:
    """The ids of the characters that are to be seen: `[{"id": ...}]`, or the ids alone."""
    ids = []
    for at, one in enumerate(values.several(left, "characters", MAX_REFERENCES, "characters")):
        identity = one.get("id") if isinstance(one, Mapping) else one
        if not isinstance(identity, str) or not 0 < len(identity) <= MAX_ID:
            name = f"characters[{at}].id"
            raise InvalidRequest(f"`{name}` must be the id of a character.", code="invalid_type", param=name)
        ids.append(identity)
    return ids


def _camera(left: dict[str, object]) -> str | None:
    """One of the movements that every provider is told in the same words."""
    value = left.pop("camera_movement", "")
    plain = re.sub(r"[\s-]+", "_", value.strip().lower()) if isinstance(value, str) else None
    if plain and plain in CAMERA:
        return plain
    if plain == "":
        return None
    raise InvalidRequest(
        f"`camera_movement` is {values.shown(value)}; allowed: {', '.join(CAMERA)}. Any other movement can be "
        "said in `prompt`.",
        param="camera_movement",
    )


def _strict(left: dict[str, object]) -> bool:
    return values.choice(left, "on_unsupported", ("warn", "reject"), "warn") == "reject"


def _check_count(left: dict[str, object]) -> None:
    value = left.pop("n", 1)
    if values.number(value) != 1:
        message = f"`n` is {values.shown(value)}; one video is made per call: send 1."
        raise InvalidRequest(message, param="n")
