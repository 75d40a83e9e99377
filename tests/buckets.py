"""A private S3 server for tests: moto's, which speaks S3 over real HTTP and keeps its buckets in memory.

from tests.buckets import bucket_server  # noqa: F401
"""

import itertools
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx2
import pytest

from tests.servers import Server, running


class BucketServer(Server):
    """An S3 server at `http://127.0.0.1:port`."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._numbers = itertools.count(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> Mapping[str, str]:
        """What a client finds it by."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }

    def create_bucket(self) -> str:
        """Make a fresh, empty bucket and return its name."""
        name = f"bucket-{os.getpid()}-{next(self._numbers)}"
        httpx2.put(f"{self.url}/{name}", trust_env=False).raise_for_status()
        return name

    def _command(self, port: int) -> Sequence[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]

    def _serves(self) -> str:
        try:
            httpx2.get(f"{self.url}/moto-api/data.json", trust_env=False).raise_for_status()
        except httpx2.HTTPError as error:
            raise OSError("it does not answer yet") from error
        return str(self.directory)


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[BucketServer]:
    """A running BucketServer, shared by all tests of this process: use `create_bucket()`."""
    with running(BucketServer) as server:
        yield server
