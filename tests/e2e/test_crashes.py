"""Real processes killed at moments nobody chose: every accepted video is made, once, paid once, under its own id.

A gateway that dies leaves the leases of the steps it was making to run out; most of that time is skipped here.
"""

import random
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from tests.e2e.hooks import listening
from tests.e2e.processes import SKIP_LEASES, until
from tests.e2e.rows import CHAT, begin, chat, finished, lines, video
from tests.e2e.stage import Guest, Stage

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
JOBS = 8
SMALL: Mapping[str, Any] = {"seconds": "1", "size": "128x128"}


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A gateway and a worker that may be killed."""
    made = Stage(tmp_path_factory.mktemp("crew"))
    yield made
    made.close()


@pytest.fixture
def owner(crew: Stage) -> Iterator[Guest]:
    """Somebody with videos there."""
    guest = crew.guest()
    yield guest
    guest.close()
    crew.check_log()


def ended(crew: Stage, owner: Guest) -> bool:
    """Whether all of the owner's videos are over, and booked."""
    states = {video.status for video in owner.openai.videos.list(limit=100)}
    if not states <= {"completed", "failed"}:
        return False
    return not crew.gateway.sql("select id from jobs where phase <> 'done' and model = 'sora-2'")


def restart(crew: Stage) -> None:
    """End the gateway as a crash would, and start it again."""
    crew.gateway.kill9()
    for table in ("jobs", "batches", "batch_rows"):
        crew.gateway.sql(SKIP_LEASES.replace("jobs", table))
    crew.gateway.start()


def check_books(crew: Stage, owner: Guest, videos: Mapping[str, str]) -> None:
    """Each of the videos (ids by prompt) was made once at the worker, charged once, and can be fetched."""
    assert sorted(owner.ids()) == sorted(videos.values())
    assert {prompt: len(crew.studio.jobs(prompt)) for prompt in videos} == dict.fromkeys(videos, 1)
    charged = crew.gateway.sql("select source, kind, nano_dollars, video_ms from ledger")
    for identity in videos.values():
        assert owner.openai.videos.retrieve(identity).status == "completed"
        assert [row[1:] for row in charged if row[0] == identity] == [("video", 4_000_000, 1000)]
        files = crew.gateway.sql("select role, name, size from media where job = ?", identity)
        assert {"video"} <= {role for role, *_ in files} <= {"video", "thumbnail", "spritesheet"}
        for _, name, size in files:
            assert (crew.gateway.data_dir / "media" / name).stat().st_size == size
        assert owner.openai.videos.download_content(identity).content[4:8] == b"ftyp"


def test_kills_of_gateway_and_worker_lose_nothing_and_repeat_nothing(crew: Stage, owner: Guest) -> None:
    dice = random.Random(seed := time.time_ns())
    client = owner.openai.with_options(max_retries=8)
    prompts = [crew.prompt() for _ in range(JOBS)]
    with ThreadPoolExecutor(JOBS) as pool:
        creating = pool.map(lambda prompt: client.videos.create(prompt=prompt, **SMALL).id, prompts)
        time.sleep(dice.uniform(0.0, 0.8))  # the moment that nobody chose
        crew.gateway.kill9()
        crew.gateway.sql(SKIP_LEASES)
        crew.gateway.start()
        time.sleep(dice.uniform(0.0, 0.8))
        crew.studio.kill9()
        crew.studio.start()
        videos = dict(zip(prompts, creating, strict=True))
    until(lambda: ended(crew, owner))
    ends = {video.id: video.status for video in owner.openai.videos.list(limit=100)}
    assert ends == dict.fromkeys(videos.values(), "completed"), f"dice {seed}"
    check_books(crew, owner, videos)


def test_a_killed_gateway_loses_no_row_of_a_batch_and_orders_no_video_twice(
    crew: Stage, owner: Guest
) -> None:
    dice = random.Random(seed := time.time_ns())
    prompts = [crew.prompt() for _ in range(JOBS)]
    videos = begin(owner, [video(f"{at}", prompt) for at, prompt in enumerate(prompts)])
    questions = [chat(f"{at}", f"Hello {at}", model="silent" if at == 30 else "demo") for at in range(60)]
    chats = begin(owner, questions, CHAT)
    time.sleep(dice.uniform(0.0, 0.6))  # the moment that nobody chose
    restart(crew)
    last = finished(owner, videos.id)
    assert last.status == "completed", f"dice {seed}"
    made = [line["response"]["body"] for line in lines(owner, last.output_file_id).values()]
    until(lambda: ended(crew, owner))
    check_books(crew, owner, {body["prompt"]: body["id"] for body in made})
    until(lambda: crew.gateway.sql("select 1 from batches where id = ? and completed = 59", chats.id))
    assert owner.openai.batches.cancel(chats.id).status == "cancelling"
    restart(crew)
    last = finished(owner, chats.id)
    answered, rest = lines(owner, last.output_file_id), lines(owner, last.error_file_id)
    assert ([*rest], len(answered)) == (["30"], 59)


def test_a_gateway_that_is_told_to_stop_gives_its_jobs_back_to_whoever_comes_next(
    crew: Stage, owner: Guest
) -> None:
    prompts = [crew.prompt() for _ in range(4)]
    videos = {prompt: owner.openai.videos.create(prompt=prompt, **SMALL).id for prompt in prompts}
    until(lambda: crew.gateway.sql("select * from attempts where job = ?", videos[prompts[0]]))
    crew.gateway.stop()
    held = "select id from jobs where leased_until > 0 and phase <> 'done'"
    assert crew.gateway.sql(held) == []
    crew.gateway.start()
    until(lambda: ended(crew, owner), seconds=15)
    check_books(crew, owner, videos)


def test_a_gateway_that_dies_before_it_knows_that_a_webhook_was_heard_tells_it_again(
    crew: Stage, owner: Guest
) -> None:
    with listening() as hooks:
        hooks.silent.set()
        video = owner.openai.videos.create(
            prompt=crew.prompt(), extra_body={"callback_url": hooks.url}, **SMALL
        )
        until(lambda: hooks.about(video.id))
        crew.gateway.kill9()
        assert crew.gateway.sql("select state from jobs where id = ?", video.id) == [("completed",)]
        assert crew.gateway.sql("select tries from outbox where job = ?", video.id) == [(0,)]
        hooks.silent.clear()
        crew.gateway.sql(SKIP_LEASES)
        crew.gateway.sql("update outbox set leased_until = 0")
        crew.gateway.start()
        sent = "select id from outbox where job = ? and delivered_at is not null"
        [(identity,)] = until(lambda: crew.gateway.sql(sent, video.id))
        assert {headers["webhook-id"] for headers, _ in hooks.about(video.id)} == {identity}
        assert len(hooks.about(video.id)) == 2


def test_a_worker_that_is_away_is_waited_for(crew: Stage, owner: Guest) -> None:
    crew.studio.kill9()
    video = owner.openai.videos.create(prompt=crew.prompt(), **SMALL)

    def attempt() -> dict[str, Any]:
        tried = owner.http.get(f"/v1/videos/{video.id}").json()["attempts"]
        return dict(tried[-1]) if tried else {"certainty": None}

    until(lambda: attempt()["certainty"] == "not_created")
    crew.studio.start()
    assert owner.openai.videos.poll(video.id).status == "completed"
    assert attempt()["certainty"] == "created"


def test_a_deleted_video_stops_costing_time_at_the_worker(crew: Stage, owner: Guest) -> None:
    long: dict[str, Any] = {"prompt": crew.prompt(), "seconds": "60", "size": "1920x1080"}
    running, queued = (owner.openai.videos.create(**long).id for _ in range(2))
    until(lambda: owner.openai.videos.retrieve(running).status == "in_progress")
    until(lambda: crew.studio.get("/worker").json()["queued"] == 1)
    for identity in (queued, running):
        owner.openai.videos.delete(identity)
        with pytest.raises(openai.NotFoundError):
            owner.openai.videos.retrieve(identity)
    until(lambda: crew.studio.jobs(long["prompt"]) == [])
    state = crew.studio.get("/worker").json()
    assert (state["running"], state["queued"]) == (0, 0)
    assert owner.made(crew.prompt()).status == "completed"
    until(lambda: not crew.gateway.sql("select id from jobs where id in (?, ?)", queued, running))
    assert crew.gateway.sql("select * from ledger where source in (?, ?)", queued, running) == []
