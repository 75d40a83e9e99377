"""Videos whose bytes lie in a bucket: the same calls, answered by a gateway process that keeps none of them."""

from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store

from tests.buckets import BucketServer, bucket_server  # noqa: F401
from tests.e2e.processes import GatewayProcess
from tests.e2e.stage import Guest, Stage, routing

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
KEY = "sk-fl-guest-0"


class Cloud:
    """A gateway with a bucket, a guest of its, and a look into the bucket."""

    def __init__(self, folder: Path, stage: Stage, server: BucketServer) -> None:
        bucket = server.create_bucket()
        environment = {
            **server.environment,
            "GUEST_0": KEY,
            "FAIRLEAD_MEDIA_URL": f"s3://{bucket}/fairlead/media",
        }
        self.gateway = GatewayProcess(folder, routing(stage.studio.base_url, ["GUEST_0"]), environment)
        self.gateway.start()
        self.guest = Guest(self.gateway.url, KEY)
        self._objects = S3Store(
            bucket,
            endpoint=server.url,
            region="us-east-1",
            access_key_id="test",
            secret_access_key="test",
            client_options={"allow_http": True},
        )

    def names(self) -> set[str]:
        return {one["path"] for batch in obstore.list(self._objects) for one in batch}

    def close(self) -> None:
        self.guest.close()
        self.gateway.stop()


@pytest.fixture(scope="module")
def cloud(
    tmp_path_factory: pytest.TempPathFactory,
    stage: Stage,
    bucket_server: BucketServer,  # noqa: F811
) -> Iterator[Cloud]:
    made = Cloud(tmp_path_factory.mktemp("cloud"), stage, bucket_server)
    yield made
    made.close()


def test_a_video_lies_in_the_bucket_and_is_served_from_there(cloud: Cloud, stage: Stage) -> None:
    video = cloud.guest.made(stage.prompt())
    path = f"/v1/videos/{video.id}/content"
    whole = cloud.guest.http.get(path)
    assert whole.content[4:8] == b"ftyp"
    part = cloud.guest.http.get(path, headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert cloud.guest.http.head(path).headers["content-length"] == str(len(whole.content))
    rows = cloud.gateway.sql("select name from media where job = ?", video.id)
    assert {f"fairlead/media/{name}" for [name] in rows} <= cloud.names()
    assert list((cloud.gateway.data_dir / "media").iterdir()) == []


def test_an_edit_begins_with_a_video_from_the_bucket(cloud: Cloud, stage: Stage) -> None:
    source = cloud.guest.made(stage.prompt())
    asked = {"prompt": stage.prompt(), "video": {"id": source.id}}
    edited = cloud.guest.http.post("/v1/videos/edits", json=asked).json()
    done = cloud.guest.openai.videos.poll(edited["id"])
    assert done.status == "completed", done


def test_stills_are_made_of_a_video_in_the_bucket(cloud: Cloud, stage: Stage) -> None:
    video = cloud.guest.made(stage.prompt())
    cloud.gateway.sql("delete from media where job = ? and role != 'video'", video.id)
    still = cloud.guest.http.get(f"/v1/videos/{video.id}/content", params={"variant": "thumbnail"})
    assert (still.headers["content-type"], still.content[8:12]) == ("image/webp", b"WEBP")
    [[name]] = cloud.gateway.sql("select name from media where job = ? and role = 'spritesheet'", video.id)
    assert f"fairlead/media/{name}" in cloud.names()


def test_a_video_that_is_deleted_leaves_the_bucket(cloud: Cloud, stage: Stage) -> None:
    before = cloud.names()
    video = cloud.guest.made(stage.prompt())
    assert cloud.names() > before
    cloud.guest.openai.videos.delete(video.id)
    assert cloud.names() == before


def test_a_bucket_that_forgot_a_file_is_told_as_expired(cloud: Cloud, stage: Stage) -> None:
    video = cloud.guest.made(stage.prompt())
    cloud.gateway.sql(
        "update media set name = '00000000000000000000000000' where job = ? and role = 'video'", video.id
    )
    answer = cloud.guest.http.get(f"/v1/videos/{video.id}/content")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "expired")
