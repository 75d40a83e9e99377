"""Google's two ways to a video, Gemini's Interactions and Veo on Vertex AI, against the recorded wire."""

import base64
import json
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import types
from google.genai._gaos.types.interactions.createmodelinteraction import CreateModelInteraction
from google.oauth2.credentials import Credentials
from msgspec.structs import replace

from providers.adapter import VideoAdapter, VideoInline
from providers.errors import ErrorKind, ProviderError
from providers.types import Media, Secret, Target
from providers.video import VIDEO_CANCEL, VIDEO_INLINE, gemini_omni, veo
from tests.providers.video.wire import FIRST, PNG, PROMPT, answer, asked, fixture, response, same, target

OMNI = target("gemini", "gemini-omni-1.2-flash", "test-key")
VEO = replace(
    target("vertex", "veo-3.1-lite-generate-001", ""),
    base_url="https://us-central1-aiplatform.googleapis.com/v1/projects/p1/locations/us-central1",
    credential={"api_key": Secret("ya29.test"), "bucket": Secret("gs://b/out/")},
)
PICTURE = Media(role="first_frame", mime="image/png", data=base64.b64decode(PNG))
OPERATION = fixture("veo_vertex/submit_response")["json"]["name"]
MP4 = base64.b64decode("AAAAGGZ0eXBtcDQy")


def test_an_interaction_is_asked_for() -> None:
    request = gemini_omni.video_create(asked(media=(PICTURE,), token="t"), OMNI)
    same(request, "gemini_omni/submit_request", without=("webhook_config",))
    body = json.loads(gemini_omni.video_create(asked(seed=0, audio=False), OMNI).body)
    assert body["generation_config"] == {"video_config": {"task": "text_to_video"}, "seed": 0}


def test_a_prediction_is_asked_for() -> None:
    request = veo.video_create(asked(seed=42, negative_prompt="blur", audio=True), VEO)
    same(request, "veo_vertex/submit_request", without=("image", "personGeneration", "enhancePrompt"))
    body = json.loads(veo.video_create(asked(media=(PICTURE,)), replace(VEO, credential=Secret("t"))).body)
    assert body["instances"][0]["image"] == {"bytesBase64Encoded": PNG, "mimeType": "image/png"}
    assert "storageUri" not in body["parameters"]


@pytest.mark.parametrize(("dialect", "at"), [(gemini_omni, OMNI), (veo, VEO)])
def test_neither_follows_a_link_to_a_picture(dialect: VideoAdapter, at: Target) -> None:
    with pytest.raises(ProviderError) as refused:
        dialect.video_create(asked(media=(Media(role="first_frame", mime="", url=FIRST),)), at)
    assert refused.value.kind is ErrorKind.UNSUPPORTED


def test_the_way_of_an_interaction() -> None:
    begun = gemini_omni.video_created(response("gemini_omni/submit_response"))
    assert begun.operation == {"id": "v1_int_1"}
    recorded = fixture("gemini_omni/poll_request")
    poll = gemini_omni.video_poll({"id": "v1_int_1"}, OMNI)
    assert (poll.method, poll.url, poll.headers) == (
        "GET", f"{recorded['url']}?stream=false", recorded["headers"]
    )  # fmt: skip
    cancel = gemini_omni.video_cancel({"id": "v1_int_1"}, OMNI)
    recorded = fixture("gemini_omni/cancel_request")
    assert (cancel.method, cancel.url, cancel.headers) == ("POST", recorded["url"], recorded["headers"])
    assert VIDEO_CANCEL["gemini_omni"] is gemini_omni
    done = gemini_omni.video_update(response("gemini_omni/poll_succeeded")).operation
    assert done is not None
    content = gemini_omni.video_content(done, OMNI)
    assert (content.url, content.headers) == (done["url"], {"x-goog-api-key": "test-key"})


def test_the_way_of_a_prediction() -> None:
    assert veo.video_created(response("veo_vertex/submit_response")).operation == {"name": OPERATION}
    same(veo.video_poll({"name": OPERATION}, VEO), "veo_vertex/poll_request")
    done = veo.video_update(response("veo_vertex/poll_succeeded")).operation
    assert done is not None
    content = veo.video_content(done, VEO)
    assert content.url == "https://storage.googleapis.com/storage/v1/b/b/o/out%2F123%2Fsample_0.mp4?alt=media"
    assert content.headers == {"authorization": "Bearer ya29.test"}
    assert "veo" not in VIDEO_CANCEL


@pytest.mark.parametrize(
    ("dialect", "at", "folder", "operation"),
    [
        (gemini_omni, OMNI, "gemini_omni", {"id": "v1_int_1"}),
        (veo, VEO, "veo_vertex", {"name": OPERATION}),
    ],
)
def test_a_file_inside_the_answer(dialect: Any, at: Target, folder: str, operation: dict[str, str]) -> None:
    recorded = response(f"{folder}/poll_succeeded_inline")
    done = dialect.video_update(recorded)
    assert (done.state, done.operation) == ("completed", {"inline": True})
    request = dialect.video_content({**operation, **done.operation}, at)
    assert request == dialect.video_poll(operation, at)
    inline: VideoInline = VIDEO_INLINE[at.dialect]
    assert inline.video_bytes(recorded) == MP4
    with pytest.raises(ProviderError):
        inline.video_bytes(response(f"{folder}/poll_running"))


@pytest.mark.parametrize(
    ("body", "code", "blamed"),
    [
        ({"status": "cancelled"}, "cancelled", False),
        ({"status": "budget_exceeded"}, "provider_quota_exceeded", False),
        ({"status": "incomplete"}, "provider_error", False),
        ({"status": "failed", "errors": [{"code": 13, "message": "internal"}]}, "provider_error", False),
        ({"status": "completed", "steps": []}, "moderation_blocked", True),
    ],
)
def test_why_an_interaction_failed(body: dict[str, Any], code: str, blamed: bool) -> None:
    update = gemini_omni.video_update(answer({"id": "i", **body}))
    assert (update.state, update.code, update.blamed, bool(update.message)) == ("failed", code, blamed, True)
    assert gemini_omni.video_update(answer({"id": "i", "status": "pondering"})).state == "in_progress"


@pytest.mark.parametrize(
    ("error", "code", "blamed"),
    [
        ({"code": 3, "message": "duration is out of range"}, "invalid_request", True),
        ({"code": 3, "message": "The prompt violates our usage guidelines."}, "moderation_blocked", True),
        ({"code": 7, "message": "no"}, "provider_auth_error", False),
        ({"code": 13, "message": ""}, "provider_error", False),
    ],
)
def test_why_a_prediction_failed(error: dict[str, Any], code: str, blamed: bool) -> None:
    update = veo.video_update(answer({"name": "n", "done": True, "error": error}))
    assert (update.state, update.code, update.blamed, bool(update.message)) == ("failed", code, blamed, True)


def test_a_prediction_that_gives_nothing_and_says_nothing_has_failed() -> None:
    assert veo.video_update(answer({"name": "n", "done": True, "response": {}})).code == "provider_error"


@pytest.mark.parametrize("dialect", [gemini_omni, veo])
def test_errors_are_in_googles_form(dialect: VideoAdapter) -> None:
    told = {"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}
    with pytest.raises(ProviderError) as raised:
        dialect.video_update(answer(told, 429))
    assert raised.value.kind is ErrorKind.RATE_LIMITED
    assert dialect.video_update(answer({}, 404)).state == "gone"


@pytest.mark.parametrize("name", ["poll_running", "poll_succeeded", "poll_filtered"])
def test_googles_own_client_reads_an_operation_as_we_do(name: str) -> None:
    recorded = fixture(f"veo_vertex/{name}")["json"]
    theirs = types.GenerateVideosOperation.from_api_response(recorded, is_vertex_ai=True)
    ours = veo.video_update(response(f"veo_vertex/{name}"))
    assert bool(theirs.done) == (ours.state in ("completed", "failed"))
    given = theirs.response and theirs.response.generated_videos
    assert bool(given) == (ours.state == "completed")


def test_googles_own_client_asks_as_we_do() -> None:
    seen: list[httpx.Request] = []

    def answered(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=fixture("veo_vertex/submit_response")["json"])

    options = types.HttpOptions(
        api_version="v1", httpx_client=httpx.Client(transport=httpx.MockTransport(answered))
    )
    client = genai.Client(
        vertexai=True, project="p1", location="us-central1", credentials=Credentials(token="ya29.test"),
        http_options=options,
    )  # fmt: skip
    client.models.generate_videos(
        model="veo-3.1-lite-generate-001",
        source=types.GenerateVideosSource(
            prompt=PROMPT, image=types.Image(image_bytes=PICTURE.data, mime_type="image/png")
        ),
        config=types.GenerateVideosConfig(
            number_of_videos=1, duration_seconds=8, aspect_ratio="16:9", resolution="720p", seed=42,
            negative_prompt="blur", generate_audio=True, output_gcs_uri="gs://b/out/",
        ),
    )  # fmt: skip
    ours = veo.video_create(asked(seed=42, negative_prompt="blur", audio=True, media=(PICTURE,)), VEO)
    [theirs] = seen
    assert (theirs.method, str(theirs.url)) == (ours.method, ours.url)
    assert json.loads(theirs.content) == json.loads(ours.body)


@pytest.mark.parametrize(
    "fields", [{}, {"seed": 7}, {"media": (PICTURE,)}, {"size": "1080x1920", "seconds": 15.0}]
)
def test_an_interaction_is_one_by_googles_own_types(fields: dict[str, Any]) -> None:
    ours = json.loads(gemini_omni.video_create(asked(**fields), OMNI).body)
    theirs = CreateModelInteraction.model_validate(ours)
    assert json.loads(theirs.model_dump_json(exclude_unset=True)) == ours
