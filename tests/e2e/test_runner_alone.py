"""A gateway that only accepts, and `fairlead runner` beside it, make videos together."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.processes import GatewayProcess, Studio, until
from tests.e2e.stage import PROMPT, TINY, Guest, routing
from tests.servers import RedisServer, redis_server  # noqa: F401 - a fixture
from tests.system.process import command

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
KEY = "sk-fl-alone"


class RunnerProcess(GatewayProcess):
    """`fairlead runner` on the files of a gateway with the same directory."""

    def _command(self, port: int) -> Sequence[str]:  # noqa: ARG002 - it listens nowhere
        told = [f"{name}={value}" for name, value in self._environment.items()]
        program = Path(sys.executable).with_name("fairlead")
        return ["env", *told, str(program), "runner", "--config", str(self._routing)]

    def _serves(self) -> str:
        return str(self.directory) if "moves video jobs on" in self.said() else ""


@pytest.fixture
def pair(
    tmp_path: Path,
    redis_server: RedisServer,  # noqa: F811
) -> Iterator[tuple[GatewayProcess, RunnerProcess]]:
    studio = Studio(tmp_path / "studio")
    environment = {"ALONE": KEY, "FAIRLEAD_REDIS_URL": redis_server.url, "FAIRLEAD_RUNNER": "off"}
    text = routing(studio.base_url, ["ALONE"])
    gateway = GatewayProcess(tmp_path, text, environment)
    runner = RunnerProcess(tmp_path, text, environment, "runner")
    gateway.start()
    yield gateway, runner
    gateway.stop()
    runner.stop()
    studio.stop()


def test_what_a_gateway_only_accepts_is_made_by_a_runner_that_gives_back_what_it_holds(
    pair: tuple[GatewayProcess, RunnerProcess],
) -> None:
    gateway, runner = pair
    guest = Guest(gateway.url, KEY)
    ids = [guest.openai.videos.create(prompt=f"{PROMPT} {number}", **TINY).id for number in range(3)]
    assert gateway.sql("select * from attempts") == []
    runner.start()
    until(lambda: {video.status for video in guest.openai.videos.list()} == {"completed"})
    assert guest.openai.videos.download_content(ids[0]).content[4:8] == b"ftyp"
    runner.stop()
    assert gateway.sql("select id from jobs where leased_until > 0 and phase <> 'done'") == []
    waiting = guest.openai.videos.create(prompt=PROMPT, **TINY).id
    assert gateway.sql("select fence from jobs where id = ?", waiting) == [(0,)]
    guest.close()


def test_a_runner_alone_needs_the_redis_that_its_gateways_count_in(tmp_path: Path) -> None:
    (tmp_path / "fairlead.yaml").write_text("providers: {}\nmodels: {}\n")
    done = command(tmp_path, "runner", "--config", str(tmp_path / "fairlead.yaml"))
    assert done.returncode == 1
    assert "FAIRLEAD_REDIS_URL" in done.stderr
