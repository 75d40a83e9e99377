"""Settings of the process: what makes no sense is named, whatever else is wrong."""

from pathlib import Path

import pytest

from gateway.config import settings
from gateway.config.problems import ConfigError


def problems(environment: dict[str, str], folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        settings.read({"FAIRLEAD_DATA_DIR": str(folder), **environment})
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/a/b", "gs://bucket/x", "az://container/x"])
def test_a_bucket_is_named_by_its_url(url: str, tmp_path: Path) -> None:
    environment = {"FAIRLEAD_DATA_DIR": str(tmp_path), "FAIRLEAD_MEDIA_URL": url}
    assert settings.read(environment).media_url == url


@pytest.mark.parametrize(
    "url", ["bucket", "s3://", "ftp://bucket", "s3://key:secret@bucket/x", "s3://bucket?x=1"]
)
def test_what_is_no_bucket_is_refused_and_not_repeated(url: str, tmp_path: Path) -> None:
    [problem] = problems({"FAIRLEAD_MEDIA_URL": url}, tmp_path)
    assert "FAIRLEAD_MEDIA_URL" in problem
    assert "s3://bucket/prefix" in problem
    assert "secret" not in problem


def test_signing_needs_both_files(tmp_path: Path) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_text("x")
    [problem] = problems({"FAIRLEAD_C2PA_CERTIFICATE": str(chain)}, tmp_path)
    assert problem.startswith("FAIRLEAD_C2PA_KEY")
    [problem] = problems({"FAIRLEAD_C2PA_CERTIFICATE": str(chain), "FAIRLEAD_C2PA_KEY": str(key)}, tmp_path)
    assert "is no file that can be read" in problem
    key.write_text("x")
    names = {"FAIRLEAD_C2PA_CERTIFICATE": str(chain), "FAIRLEAD_C2PA_KEY": str(key)}
    assert settings.read({"FAIRLEAD_DATA_DIR": str(tmp_path), **names}).signing == (chain, key)
    assert settings.read({"FAIRLEAD_DATA_DIR": str(tmp_path)}).signing is None
