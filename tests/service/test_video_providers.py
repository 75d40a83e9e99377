"""A job at each provider whose API is one of tasks, of sentences or of OpenAI's likeness: from wish to bytes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.service.test_video_dialects import at, content, made
from tests.service.video_provider import MP4
from tests.service.video_rig import Hasty, rig, snapshot
from tests.service.video_upstream import Scripted

OK = {"status_code": 0, "status_msg": "success"}
SCRIPTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "minimax": (
        "MiniMax-H3",
        {
            "POST /v2/video_generation": [{"task_id": "t1"}],
            "GET /v2/query/video_generation/t1": [
                {"task": {"id": "t1", "status": "queued"}},
                {"task": {"id": "t1", "status": "succeeded", "content": {"url": "URL/out.mp4"}}},
            ],
        },
    ),
    "minimax_v1": (
        "MiniMax-Hailuo-02",
        {
            "POST /v1/video_generation": [{"task_id": "t1", "base_resp": OK}],
            "GET /v1/query/video_generation?task_id=t1": [
                {"task_id": "t1", "status": "Processing", "file_id": "", "base_resp": OK},
                {"task_id": "t1", "status": "Success", "file_id": "f1", "base_resp": OK},
            ],
            "GET /v1/files/retrieve?file_id=f1": [{"file": {"download_url": "URL/out.mp4"}, "base_resp": OK}],
        },
    ),
    "wan": (
        "wan3.0-video",
        {
            "POST /services/aigc/video-generation/video-synthesis": [{"output": {"task_id": "t1"}}],
            "GET /tasks/t1": [
                {"output": {"task_id": "t1", "task_status": "RUNNING"}},
                {"output": {"task_id": "t1", "task_status": "SUCCEEDED", "video_url": "URL/out.mp4"}},
            ],
        },
    ),
    "seedance": (
        "dreamina-seedance-2-0",
        {
            "POST /contents/generations/tasks": [{"id": "t1"}],
            "GET /contents/generations/tasks/t1": [
                {"id": "t1", "status": "running"},
                {"id": "t1", "status": "succeeded", "content": {"video_url": "URL/out.mp4"}},
            ],
        },
    ),
    "xai": (
        "grok-imagine-video",
        {
            "POST /videos/generations": [{"request_id": "t1"}],
            "GET /videos/t1": [
                (202, {"status": "pending", "progress": 10}),
                {"status": "done", "video": {"url": "URL/out.mp4", "respect_moderation": True}},
            ],
        },
    ),
    "openrouter": (
        "acme/film-1",
        {
            "POST /videos": [(202, {"id": "t1", "status": "pending"})],
            "GET /videos/t1": [{"id": "t1", "status": "in_progress"}, {"id": "t1", "status": "completed"}],
            "GET /videos/t1/content?index=0": [MP4],
        },
    ),
    "together": (
        "acme/film-1",
        {
            "POST /videos": [{"id": "t1", "status": "in_progress"}],
            "GET /videos/t1": [{"id": "t1", "status": "completed", "outputs": {"video_url": "URL/out.mp4"}}],
        },
    ),
    "vllm_omni": (
        "film",
        {
            "POST /videos": [{"id": "t1", "status": "queued"}],
            "GET /videos/t1": [{"id": "t1", "status": "completed", "progress": 100}],
            "GET /videos/t1/content": [MP4],
        },
    ),
    "sglang": (
        "film",
        {
            "POST /videos": [{"id": "t1", "status": "queued", "file_path": "/data/t1.mp4"}],
            "GET /videos/t1": [{"id": "t1", "status": "completed", "file_path": "/data/t1.mp4"}],
            "GET /videos/t1/content": [MP4],
        },
    ),
}


@pytest.mark.parametrize("dialect", SCRIPTS)
async def test_from_wish_to_bytes(tmp_path: Path, dialect: str) -> None:
    model, script = SCRIPTS[dialect]
    clock = Hasty()
    async with Scripted({"GET /out.mp4": [MP4], **script}) as up, rig(
        tmp_path, snapshot(at(dialect, model, up)), clock=clock.clock, lease=1e6
    ) as r:  # fmt: skip
        job = await made(r, clock, seconds="6", size="1280x720", style_preset="noir", seed=7)
        assert (job.state, job.error, job.progress, job.cost) == ("completed", None, 100, 720_000_000)
        assert await content(r, job) == MP4
        [submit] = up.sent("POST")
        assert submit.headers["authorization"] == "Bearer key"
        assert b"Style: film noir" in submit.body
        assert f"`style_preset` was written into the prompt for {dialect}" in job.warnings


@pytest.mark.parametrize(
    ("dialect", "line", "said"),
    [
        ("xai", "GET /videos/t1", {"status": "done", "video": {"url": "", "respect_moderation": False}}),
        (
            "minimax_v1",
            "POST /v1/video_generation",
            {"task_id": "", "base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}},
        ),
        (
            "wan",
            "GET /tasks/t1",
            {"output": {"task_id": "t1", "task_status": "FAILED", "code": "DataInspectionFailed"}},
        ),
    ],
)
async def test_moderation_ends_a_job_and_nobody_else_is_asked(
    tmp_path: Path, dialect: str, line: str, said: Any
) -> None:
    model, script = SCRIPTS[dialect]
    clock = Hasty()
    async with Scripted({**script, line: [said]}) as up, Scripted(SCRIPTS["together"][1]) as other, rig(
        tmp_path, snapshot(at(dialect, model, up), at("together", "m", other)), clock=clock.clock, lease=1e6
    ) as r:  # fmt: skip
        job = await made(r, clock, seconds="6", size="1280x720")
        assert (job.state, job.error and job.error["code"]) == ("failed", "moderation_blocked")
        assert not other.heard
