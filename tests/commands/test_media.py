"""`fairlead media verify` as a person runs it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.__main__ import cli
from gateway.media.credentials import sign
from gateway.media.words import Claim, Signing
from tests.media.films import film
from tests.media.signers import Signer, signer

CLAIM = Claim(title="boat.mp4", agent="wan-2.2", source="trainedAlgorithmicMedia", facts={"video": "video_1"})


@pytest.fixture
def who(tmp_path: Path) -> Signer:
    return signer(tmp_path)


@pytest.fixture
def boat(tmp_path: Path, who: Signer) -> Path:
    signing = Signing(certificate=str(who.certificate), key=str(who.key))
    sign(film(tmp_path / "plain.mp4", seconds=0.2), tmp_path / "boat.mp4", CLAIM, signing)
    return tmp_path / "boat.mp4"


def verify(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["media", "verify", *map(str, words)])
    return done.exit_code, done.output


def test_a_signed_file_says_who_signed_what(boat: Path) -> None:
    code, said = verify(boat)
    assert code == 0
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert lines[0] == f"{boat}: intact, as it was signed"
    assert "signed by Test signer, Fairlead tests" in lines
    assert "trusted not judged; name the root certificates you trust with --trust" in lines
    assert "what was done c2pa.created" in lines
    assert "video video_1" in lines


def test_trust_is_asked_for_and_decides(boat: Path, who: Signer, tmp_path: Path) -> None:
    assert verify(boat, "--trust", who.root)[0] == 0
    (tmp_path / "other").mkdir()
    code, said = verify(boat, "--trust", signer(tmp_path / "other").root)
    assert code == 1
    assert "leads to none of these roots" in said


def test_a_changed_file_is_told_and_so_is_one_without_credentials(boat: Path, tmp_path: Path) -> None:
    data = bytearray(boat.read_bytes())
    data[data.index(b"mdat") + 12] ^= 1
    boat.write_bytes(data)
    code, said = verify(boat)
    assert code == 1
    assert "NOT as it was signed (assertion.bmffHash.mismatch)" in said
    assert verify(tmp_path / "plain.mp4") == (
        1,
        f"{tmp_path / 'plain.mp4'}: carries no content credentials\n",
    )


def test_what_is_no_video_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    code, said = verify(tmp_path / "notes.txt")
    assert code == 1
    assert "cannot be verified" in said
    assert "Traceback" not in said
    assert verify(tmp_path / "nowhere.mp4")[0] == 2
