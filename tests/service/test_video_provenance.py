"""Whose mark a finished video carries: the provider's untouched, else ours where we have a certificate, else none."""

import base64
import hashlib
from pathlib import Path

import pytest

from gateway.api.video_views import generation, video
from gateway.media.credentials import read, sign
from gateway.media.words import Claim, Credentials, Signing
from gateway.media.workshop import Workshop
from gateway.service.video_repeats import Origin
from gateway.service.video_request import GENERATIONS, read_change
from gateway.store.jobs import Job
from gateway.store.media import whole
from tests.media.films import film
from tests.media.signers import Signer, signer
from tests.service.video_provider import MP4, Provider
from tests.service.video_rig import ANN, Rig, rig, snapshot, target

NOTHING = {"provider_marks": [], "gateway_manifest": False}


@pytest.fixture
def plain(tmp_path: Path) -> bytes:
    return film(tmp_path / "plain.mp4", seconds=0.3).read_bytes()


@pytest.fixture
def theirs(tmp_path: Path, plain: bytes) -> bytes:
    """The same film with a provider's manifest."""
    (tmp_path / "theirs").mkdir()
    claim = Claim(title="theirs.mp4", agent="veo", source="trainedAlgorithmicMedia", facts={})
    sign(tmp_path / "plain.mp4", tmp_path / "theirs.mp4", claim, signing(signer(tmp_path / "theirs")))
    return (tmp_path / "theirs.mp4").read_bytes()


def signing(who: Signer) -> Signing:
    return Signing(certificate=str(who.certificate), key=str(who.key))


def found_in(folder: Path, data: bytes) -> Credentials | None:
    """What is signed in these bytes, by the test's own root."""
    (folder / "fetched.mp4").write_bytes(data)
    return read(folder / "fetched.mp4", roots=(folder / "root.pem").read_text())


async def fetched(r: Rig, job: Job) -> bytes:
    found = await r.videos.content(ANN, job.id, "video")
    try:
        data = await whole(found.file, found.row.size)
    finally:
        found.file.close()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (found.row.size, found.row.sha256)
    return data


async def test_a_providers_manifest_passes_untouched_and_is_reported(tmp_path: Path, theirs: bytes) -> None:
    ours = Workshop(signing(signer(tmp_path)))
    async with (
        Provider(film=theirs) as one,
        rig(tmp_path, snapshot(target("one", one.url)), workshop=ours) as r,
    ):
        job = await r.create()
        assert video(job, 1.0)["provenance"] is None
        done = await r.over(job)
        assert await fetched(r, done) == theirs
        told = video(done, 1.0)["provenance"]
        [mark] = told["provider_marks"]
        assert mark.pop("generator").startswith("Fairlead")
        assert mark == {"type": "c2pa", "signed_by": "Fairlead tests", "intact": True}
        assert told["gateway_manifest"] is False
        assert generation(done, None, 1.0)["provenance"] == video(done, 1.0)["provenance"]


async def test_a_manifest_that_is_broken_is_reported_as_such(tmp_path: Path, theirs: bytes) -> None:
    data = bytearray(theirs)
    data[data.index(b"mdat") + 12] ^= 1
    async with Provider(film=bytes(data)) as one, rig(tmp_path, snapshot(target("one", one.url))) as r:
        done = await r.over(await r.create())
        assert await fetched(r, done) == bytes(data)
        assert video(done, 1.0)["provenance"]["provider_marks"][0]["intact"] is False


async def test_ours_is_put_on_where_a_certificate_is_configured(tmp_path: Path, plain: bytes) -> None:
    ours = Workshop(signing(signer(tmp_path)))
    async with Provider(film=plain) as one:
        async with rig(tmp_path, snapshot(target("one", one.url)), workshop=ours) as r:
            done = await r.over(await r.create(prompt="A secret prompt", seed=7))
            data = await fetched(r, done)
            assert data != plain
            assert b"secret" not in data
            assert video(done, 1.0)["provenance"] == {"provider_marks": [], "gateway_manifest": True}
    found = found_in(tmp_path, data)
    assert found is not None
    assert (found.intact, found.trusted, found.actions) == (True, True, ["c2pa.created"])
    assert found.facts == {
        "video": done.id,
        "provider": "one",
        "model": "m",
        "operation": "generate",
        "prompt_sha256": hashlib.sha256(b"A secret prompt").hexdigest(),
        "seed": 7,
    }


@pytest.mark.parametrize("kept", [True, False])
async def test_ours_names_the_video_that_another_was_made_from_where_it_is_still_here(
    tmp_path: Path, plain: bytes, kept: bool
) -> None:
    ours = Workshop(signing(signer(tmp_path)))
    async with Provider(film=plain) as one:
        async with rig(tmp_path, snapshot(target("one", one.url)), workshop=ours) as r:
            first = await r.over(await r.create())
            one.polls = 10**9
            remix = await r.videos.remix(ANN, first.id, {"prompt": "By night"}, Origin(route="remix"))
            if not kept:
                await r.videos.delete(ANN, first.id)
            one.polls = 1
            done = await r.over(remix)
            data = await fetched(r, done)
            assert video(done, 1.0)["provenance"]["gateway_manifest"] is True
    found = found_in(tmp_path, data)
    assert found is not None
    assert (found.intact, found.actions) == (True, ["c2pa.created"])
    assert list(found.made_from) == ([f"{first.id}.mp4"] if kept else [])


async def test_a_source_that_cannot_be_read_costs_a_video_no_signature(tmp_path: Path, plain: bytes) -> None:
    ours = Workshop(signing(signer(tmp_path)))
    async with Provider() as one:  # whose films play nowhere
        async with rig(tmp_path, snapshot(target("one", one.url)), workshop=ours) as r:
            first = await r.over(await r.create())
            one.film = plain
            remix = await r.videos.remix(ANN, first.id, {"prompt": "By night"}, Origin(route="remix"))
            found = found_in(tmp_path, await fetched(r, await r.over(remix)))
    assert found is not None
    assert (found.intact, list(found.made_from)) == (True, [])


async def test_ours_names_a_clip_of_the_clients_by_no_name(tmp_path: Path, plain: bytes) -> None:
    ours = Workshop(signing(signer(tmp_path)))
    edits = {"operations": ("generate", "edit"), "inputs": ("source_video",)}
    told = {"prompt": "By night", "video": f"data:video/mp4;base64,{base64.b64encode(plain).decode()}"}
    async with Provider(film=plain) as one:
        async with rig(tmp_path, snapshot(target("one", one.url, **edits)), workshop=ours) as r:
            change = read_change(GENERATIONS, {"model": "sora-2", **told}, "edit")
            done = await r.over(await r.videos.change(ANN, change, Origin(route="edit")))
            found = found_in(tmp_path, await fetched(r, done))
    assert found is not None
    assert (found.intact, list(found.made_from)) == (True, ["source.mp4"])


async def test_nothing_is_put_on_where_none_is_configured(tmp_path: Path, plain: bytes) -> None:
    async with Provider(film=plain) as one, rig(tmp_path, snapshot(target("one", one.url))) as r:
        done = await r.over(await r.create())
        assert await fetched(r, done) == plain
        assert video(done, 1.0)["provenance"] == NOTHING


async def test_a_video_that_cannot_be_signed_is_delivered_as_it_came(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours = Workshop(signing(signer(tmp_path)))
    async with Provider() as one, rig(tmp_path, snapshot(target("one", one.url)), workshop=ours) as r:
        done = await r.over(await r.create())
        assert await fetched(r, done) == MP4
        assert video(done, 1.0)["provenance"] == NOTHING
    assert f"the video {done.id} could not be signed" in caplog.text
    assert list((tmp_path / "media").glob("*.part")) == []
