"""What is signed is found again, and a changed byte is found too."""

from pathlib import Path

import av
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from gateway.media.credentials import CredentialsError, read, sign
from gateway.media.words import Claim, Signing
from providers import mp4
from tests.media.films import film
from tests.media.signers import Key, Signer, signer

CLAIM = Claim(
    title="video_1.mp4",
    agent="wan-2.2",
    source="trainedAlgorithmicMedia",
    facts={"video": "video_1", "seed": 7},
)


def signed(folder: Path, who: Signer | None = None) -> Path:
    who = who or signer(folder)
    source = film(folder / "plain.mp4", seconds=0.5)
    sign(source, folder / "signed.mp4", CLAIM, Signing(certificate=str(who.certificate), key=str(who.key)))
    return folder / "signed.mp4"


def carries(path: Path) -> bool:
    data = path.read_bytes()
    return mp4.has_credentials(lambda offset, count: data[offset : offset + count], len(data))


def test_what_is_signed_says_who_and_what_and_plays_on(tmp_path: Path) -> None:
    path = signed(tmp_path)
    found = read(path)
    assert found is not None
    assert (found.intact, found.trusted, found.problems) == (True, None, [])
    assert (found.issuer, found.name) == ("Fairlead tests", "Test signer")
    assert found.generator.startswith("Fairlead ")
    assert found.actions == ["c2pa.created"]
    assert found.facts == {"video": "video_1", "seed": 7}
    with av.open(str(path)) as file:
        assert sum(1 for _ in file.decode(video=0)) == 4
    assert carries(path)


def test_what_it_was_made_from_is_taken_along_with_its_own_credentials(tmp_path: Path) -> None:
    who = signer(tmp_path)
    signing = Signing(certificate=str(who.certificate), key=str(who.key))
    before, plain = signed(tmp_path, who), film(tmp_path / "next.mp4", seconds=0.3)
    claim = Claim(title="b.mp4", agent="m", source="compositeWithTrainedAlgorithmicMedia", facts={},
                  made_from="video_1.mp4")  # fmt: skip
    for ingredient, manifests in ((plain, 1), (before, 2)):
        sign(plain, tmp_path / "after.mp4", claim, signing, ingredient)
        found = read(tmp_path / "after.mp4", roots=who.root.read_text())
        assert found is not None
        assert (found.intact, found.trusted, list(found.made_from)) == (True, True, ["video_1.mp4"])
        assert (tmp_path / "after.mp4").read_bytes().count(b"c2pa.signature") >= manifests
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\x00\x00\x00\x18ftypisom")
    with pytest.raises(CredentialsError):
        sign(plain, tmp_path / "after.mp4", claim, signing, broken)


def test_trust_is_judged_by_the_roots_that_are_named(tmp_path: Path) -> None:
    path = signed(tmp_path)
    (tmp_path / "other").mkdir()
    for root, trusted in ((tmp_path / "root.pem", True), (signer(tmp_path / "other").root, False)):
        found = read(path, roots=root.read_text())
        assert found is not None
        assert (found.intact, found.trusted) == (True, trusted)


@pytest.mark.parametrize("near", [b"mdat", b"mvhd", b"trained"])
def test_a_changed_byte_is_found_in_the_pictures_in_the_index_and_in_the_claim(
    tmp_path: Path, near: bytes
) -> None:
    path = signed(tmp_path)
    data = bytearray(path.read_bytes())
    data[data.index(near) + 12] ^= 1
    path.write_bytes(data)
    found = read(path)
    assert found is not None
    assert not found.intact
    assert found.problems


def test_a_file_without_credentials_has_none(tmp_path: Path) -> None:
    path = film(tmp_path / "plain.mp4", seconds=0.2)
    assert read(path) is None
    assert not carries(path)
    path.write_bytes(path.read_bytes()[:20])
    assert not carries(path)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-384", "Ed25519", "RSA"],
)  # fmt: skip
def test_other_kinds_of_keys_sign_too(tmp_path: Path, key: Key) -> None:
    found = read(signed(tmp_path, signer(tmp_path, key)))
    assert found is not None
    assert found.intact


def test_what_cannot_be_signed_with_is_named(tmp_path: Path) -> None:
    who = signer(tmp_path)
    who.key.write_text("not a key")
    with pytest.raises(CredentialsError, match="private key in PEM"):
        signed(tmp_path, who)
    (tmp_path / "other").mkdir()
    stranger = signer(tmp_path / "other")
    with pytest.raises(CredentialsError):
        signed(tmp_path, Signer(stranger.root, stranger.key, stranger.root))
