"""The official client, our routes, the runner and the real local worker: a real MP4 comes out at the end."""

import io
import signal
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from PIL import Image

from tests.api.video_app import served
from tests.providers.local.running import RunningWorker
from tests.service.video_rig import snapshot, target

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[RunningWorker]:
    running = RunningWorker(tmp_path / "worker")
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGTERM)


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    return file.getvalue()


async def test_a_real_video_from_prompt_and_picture_to_remix(tmp_path: Path, worker: RunningWorker) -> None:
    root = worker.base_url.removesuffix("/v1")
    config = snapshot(target("studio", root, model="testcard", price=0.004, repeats=True))
    async with served(tmp_path / "gateway", config) as s:
        client = s.client()
        video = await client.videos.create_and_poll(
            model="sora-2", prompt="A red kite over a grey sea", seconds="4", size="1280x720",
            input_reference=("frame.png", picture(), "image/png"),
        )  # fmt: skip
        assert (video.status, video.error) == ("completed", None), video
        extras = video.model_extra or {}
        assert extras["cost_usd"] == pytest.approx(0.016)
        content = (await client.videos.download_content(video.id)).content
        with av.open(io.BytesIO(content)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 1280, 720)
            assert float(stream.duration * stream.time_base) == pytest.approx(4.0, abs=0.1)
        remix = await client.videos.remix(video.id, prompt="The same, in blue")
        done = await client.videos.poll(remix.id)
        assert (done.status, done.remixed_from_video_id) == ("completed", video.id)
