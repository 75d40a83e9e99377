"""Private object stores for tests, over real HTTP and in memory: S3 as moto has it, Azure as its own emulator Azurite.

from tests.buckets import azure_server, bucket_server  # noqa: F401
"""

import hmac
import itertools
import os
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from email.utils import formatdate
from pathlib import Path

import httpx2
import pytest

from tests.npm import node, npm_install
from tests.servers import Server, running

AZURITE = Path(__file__).parent / "azurite"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account that every Azurite has, and its key, which is published with it."""
VERSION = "2021-12-02"


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

    def create(self) -> str:
        """Make a fresh, empty bucket and return its URL."""
        return f"s3://{self.create_bucket()}"

    def _command(self, port: int) -> Sequence[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]

    def _serves(self) -> str:
        try:
            httpx2.get(f"{self.url}/moto-api/data.json", trust_env=False).raise_for_status()
        except httpx2.HTTPError as error:
            raise OSError("it does not answer yet") from error
        return str(self.directory)


class AzureServer(Server):
    """Azurite's blobs at `http://127.0.0.1:port/devstoreaccount1`."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        npm_install(AZURITE)
        self._numbers = itertools.count(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    @property
    def environment(self) -> Mapping[str, str]:
        """What a client finds it by."""
        return {
            "AZURE_STORAGE_ENDPOINT": self.url,
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
        }

    def create(self) -> str:
        """Make a fresh, empty container and return its URL; signed as Azure's `Shared Key` wants it."""
        name, date = f"bucket-{os.getpid()}-{next(self._numbers)}", formatdate(usegmt=True)
        headers = {"x-ms-date": date, "x-ms-version": VERSION}
        told = [f"{header}:{value}" for header, value in sorted(headers.items())]
        text = "\n".join(["PUT", *[""] * 11, *told, f"/{ACCOUNT}/{ACCOUNT}/{name}", "restype:container"])
        signature = b64encode(hmac.digest(b64decode(KEY), text.encode(), "sha256")).decode()
        made = httpx2.put(
            f"{self.url}/{name}?restype=container",
            headers={**headers, "authorization": f"SharedKey {ACCOUNT}:{signature}"},
            trust_env=False,
        )
        assert made.status_code == 201, made.text
        return f"az://{name}"

    def _command(self, port: int) -> Sequence[str]:
        main = AZURITE / "node_modules/azurite/dist/src/blob/main.js"
        told = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--silent"]
        return [node(), str(main), *told, "--disableTelemetry", "--skipApiVersionCheck"]

    def _serves(self) -> str:
        try:
            httpx2.get(self.url, trust_env=False)
        except httpx2.HTTPError as error:
            raise OSError("it does not answer yet") from error
        return str(self.directory)


@pytest.fixture(scope="session")
def azure_server() -> Iterator[AzureServer]:
    """A running AzureServer, shared by all tests of this process: use `create()`."""
    with running(AzureServer) as server:
        yield server


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[BucketServer]:
    """A running BucketServer, shared by all tests of this process: use `create_bucket()`."""
    with running(BucketServer) as server:
        yield server
