"""Two gateway processes on one PostgreSQL, with one media directory and one worker, are one gateway."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
import pytest

from tests.e2e.processes import SKIP_LEASES, GatewayProcess, Studio, until
from tests.e2e.rows import CHAT, begin, chat, finished, lines, video
from tests.e2e.stage import PROMPT, TINY, Guest, routing
from tests.servers import PostgresServer, postgres_server  # noqa: F401 - a fixture

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
GUESTS = {f"GUEST_{number}": f"sk-fl-both-{number}" for number in range(3)}


class Pair:
    """Two gateways and a worker."""

    def __init__(self, folder: Path, database: str) -> None:
        self._database = database.replace("+psycopg", "")
        self.studio = Studio(folder / "studio")
        environment = {**GUESTS, "FAIRLEAD_DATABASE_URL": database}
        text = routing(self.studio.base_url, GUESTS)
        self.gateways = [GatewayProcess(folder, text, environment, name) for name in ("one", "other")]
        with ThreadPoolExecutor(2) as pool:  # both at once: both find an empty database
            list(pool.map(GatewayProcess.start, self.gateways))
        self._keys = iter(GUESTS.values())

    @contextlib.contextmanager
    def guests(self) -> Iterator[tuple[Guest, Guest]]:
        """Somebody new, at one gateway and at the other."""
        key = next(self._keys)
        one, other = (Guest(gateway.url, key) for gateway in self.gateways)
        yield one, other
        one.close()
        other.close()

    def sql(self, statement: str) -> list[Any]:
        """Run one statement on the database itself; the rows it gives."""
        with psycopg.connect(self._database, autocommit=True) as database:
            done = database.execute(cast("LiteralString", statement))
            return done.fetchall() if done.description else []

    def close(self) -> None:
        for gateway in self.gateways:
            gateway.stop()
        self.studio.stop()


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: PostgresServer,  # noqa: F811
) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("pair"), postgres_server.create_database())
    yield made
    made.close()


def over(guest: Guest) -> bool:
    """Whether nothing of the guest's is on its way."""
    return {video.status for video in guest.openai.videos.list(limit=100)} <= {"completed", "failed"}


def test_what_one_accepts_the_other_shows_serves_and_deletes(pair: Pair) -> None:
    prompts = [f"{PROMPT} {number} for both" for number in range(6)]
    with pair.guests() as (one, other):
        ids = [
            guest.openai.videos.create(prompt=prompt, **TINY).id
            for guest, prompt in zip([one, other] * 3, prompts, strict=True)
        ]
        assert one.ids() == other.ids() == sorted(ids, reverse=True)
        until(lambda: over(one))
        for identity in ids:
            assert one.openai.videos.retrieve(identity) == other.openai.videos.retrieve(identity)
            mine, theirs = (guest.openai.videos.download_content(identity) for guest in (one, other))
            assert mine.content == theirs.content
        assert [len(pair.studio.jobs(prompt)) for prompt in prompts] == [1] * 6
        assert sorted(source for [source] in pair.sql("select source from ledger")) == sorted(ids)
        other.openai.videos.delete(ids[0])
        assert one.http.get(f"/v1/videos/{ids[0]}/content").status_code == 404


def test_a_key_that_both_are_given_at_once_makes_one_video(pair: Pair) -> None:
    body = {"model": "waiting", "prompt": PROMPT}
    with pair.guests() as both, ThreadPoolExecutor(10) as pool:
        for headers in ({"idempotency-key": "k"}, {"x-stainless-retry-count": "1"}):

            def create(number: int, headers: dict[str, str] = headers) -> str:
                answer = both[number % 2].http.post("/v1/videos", json=body, headers=headers)
                return str(answer.json()["id"])

            assert len(set(pool.map(create, range(20)))) == 1


def test_when_one_dies_in_the_middle_the_other_finishes_its_videos_and_batches(pair: Pair) -> None:
    prompts = [f"{PROMPT} {number} for the other" for number in range(6)]
    with pair.guests() as (one, other):
        small = {**TINY, "size": "128x128"}
        batch = begin(one, [chat(f"{at}", f"Hello {at}") for at in range(80)], CHAT)
        films = [f"{PROMPT} {number} in a batch" for number in range(4)]
        batch_of_films = begin(other, [video(f"{at}", prompt) for at, prompt in enumerate(films)])
        ids = [one.openai.videos.create(prompt=prompt, **small).id for prompt in prompts]
        until(lambda: set(ids) & {job for [job] in pair.sql("select job from attempts")})
        pair.gateways[0].kill9()
        for table in ("jobs", "batches", "batch_rows"):
            pair.sql(SKIP_LEASES.replace("jobs", table))
        answered = lines(other, finished(other, batch.id).output_file_id)
        assert [*answered] == [f"{at}" for at in range(80)]
        rendered = lines(other, finished(other, batch_of_films.id).output_file_id)
        ids += [line["response"]["body"]["id"] for line in rendered.values()]
        prompts += films
        until(lambda: over(other))
        assert {video.id: video.status for video in other.openai.videos.list()} == dict.fromkeys(
            ids, "completed"
        )
        assert [len(pair.studio.jobs(prompt)) for prompt in prompts] == [1] * 10
        charged = [source for [source] in pair.sql("select source from ledger")]
        assert sorted(set(ids) & set(charged)) == sorted(one for one in charged if one in ids) == sorted(ids)
        for identity in ids:
            assert other.openai.videos.download_content(identity).content[4:8] == b"ftyp"
    pair.gateways[0].start()
