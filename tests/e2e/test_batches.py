"""Files and batches with OpenAI's clients, against a gateway and a worker that run."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import openai
import pytest

from tests.contract.node_client import call_node, install
from tests.e2e.processes import until
from tests.e2e.rows import CHAT, VIDEOS, begin, chat, finished, jsonl, lines, video
from tests.e2e.stage import PRICE, Guest, Stage, check_video

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
NOBODYS = {"files": "file-00000000000000000000000000", "batches": "batch_00000000000000000000000000"}


def test_a_batch_of_videos_is_over_when_they_are_made(stage: Stage, guest: Guest) -> None:
    prompts = [stage.prompt() for _ in range(4)]
    rows = [video(f"shot-{at}", prompt) for at, prompt in enumerate(prompts)]
    rows += [video("broken", stage.prompt(), model="broken"), video("bad", stage.prompt(), seconds="-1")]
    made = begin(guest, rows, metadata={"film": "kites"})
    assert (made.status, made.endpoint, made.metadata) == ("validating", VIDEOS, {"film": "kites"})
    ended = finished(guest, made.id)
    assert ended.request_counts is not None
    assert (ended.status, ended.request_counts.to_dict()) == (
        "completed",
        {"total": 6, "completed": 5, "failed": 1},
    )
    assert (ended.model, ended.usage) == (None, None)
    answered, refused = lines(guest, ended.output_file_id), lines(guest, ended.error_file_id)
    assert [*answered] == ["shot-0", "shot-1", "shot-2", "shot-3", "broken"]
    for name, line in answered.items():
        body = line["response"]["body"]
        check_video(body)
        assert line["response"]["status_code"] == 200
        assert body["status"] == ("failed" if name == "broken" else "completed")
    for at, prompt in enumerate(prompts):
        body = answered[f"shot-{at}"]["response"]["body"]
        assert (body["prompt"], body["cost_usd"]) == (prompt, PRICE)
        assert guest.openai.videos.download_content(body["id"]).content[4:8] == b"ftyp"
        assert len(stage.studio.jobs(prompt)) == 1
    assert refused["bad"]["response"]["status_code"] == 400
    assert refused["bad"]["response"]["body"]["error"]["param"] == "seconds"


def test_a_cancelled_batch_cancels_the_videos_that_are_not_made(stage: Stage, guest: Guest) -> None:
    made = begin(guest, [video(f"{at}", stage.prompt(), model="waiting") for at in range(12)])
    until(lambda: len(guest.ids()) == 10)  # as many as a key may have
    stopped = guest.openai.batches.cancel(made.id)
    assert stopped.status == "cancelling"
    ended = finished(guest, made.id)
    assert (ended.status, ended.output_file_id, guest.ids()) == ("cancelled", None, [])
    told = lines(guest, ended.error_file_id)
    assert [*told] == [f"{at}" for at in range(12)]
    assert {line["error"]["code"] for line in told.values()} == {"batch_cancelled"}


def test_a_batch_of_chats_takes_the_way_of_ordinary_calls(stage: Stage, guest: Guest) -> None:
    rows = [chat(f"row-{at}", f"Hello {at}") for at in range(25)]
    ended = finished(
        guest, begin(guest, [*rows, chat("bad", "x", max_tokens=0), chat("flow", "x", stream=True)], CHAT).id
    )
    assert ended.request_counts is not None
    assert ended.request_counts.to_dict() == {"total": 27, "completed": 25, "failed": 2}
    answered, refused = lines(guest, ended.output_file_id), lines(guest, ended.error_file_id)
    for at in range(25):
        said = answered[f"row-{at}"]["response"]
        assert said["request_id"].startswith("req_")
        assert f"Hello {at}”" in said["body"]["choices"][0]["message"]["content"]
    params = {name: line["response"]["body"]["error"]["param"] for name, line in refused.items()}
    assert params == {"bad": "max_tokens", "flow": "stream"}
    used = [line["response"]["body"]["usage"]["total_tokens"] for line in answered.values()]
    assert ended.usage is not None
    assert (ended.model, ended.usage.total_tokens) == ("demo", sum(used))
    name = stage.gateway.sql("select caller from files where id = ?", ended.input_file_id)[0][0]
    charged = "select count(*) from ledger where caller = ? and kind = 'chat'"
    until(lambda: stage.gateway.sql(charged, name) == [(25,)])
    assert stage.gateway.sql("select * from batch_rows where batch = ?", ended.id) == []


BAD: tuple[tuple[Any, tuple[str, str | None]], ...] = (
    # a line, and what is told of it
    ("{not json", ("invalid_json_line", None)),
    (chat("twice", "x"), ("duplicate_custom_id", "custom_id")),
    ({**chat("url", "x"), "url": VIDEOS}, ("invalid_url", "url")),
    ({**chat("method", "x"), "method": "GET"}, ("invalid_method", "method")),
    ({**chat("body", "x"), "body": []}, ("invalid_type", "body")),
    ({**chat("model", "x"), "body": {"messages": []}}, ("missing_required_parameter", "body.model")),
    (chat("unknown", "x", model="nothing"), ("model_not_found", "body.model")),
    (chat("kind", "x", model="sora-2"), ("model_not_found", "body.model")),
    ({"method": "POST", "url": CHAT, "body": {}}, ("missing_required_parameter", None)),
    (chat("\n", "x"), ("invalid_custom_id", "custom_id")),
    ("[]", ("missing_required_parameter", None)),
)  # fmt: skip


def test_everything_wrong_with_a_file_is_told_at_once_and_nothing_is_begun(
    stage: Stage, guest: Guest
) -> None:
    good = [chat("twice", "x"), "", chat("fine", "x")]
    failed = finished(guest, begin(guest, [*good, *(line for line, _ in BAD)], CHAT).id)
    assert (failed.status, failed.failed_at is not None) == ("failed", True)
    assert failed.errors is not None
    told = [(error.line, error.code, error.param) for error in failed.errors.data or ()]
    assert told == [(number, *what) for number, (_, what) in enumerate(BAD, start=4)]
    assert all(error.message for error in failed.errors.data or ())
    assert (failed.output_file_id, failed.error_file_id) == (None, None)
    assert stage.gateway.sql("select * from batch_rows where batch = ?", failed.id) == []
    empty = finished(guest, begin(guest, [], CHAT).id)
    assert empty.errors is not None
    assert [error.code for error in empty.errors.data or ()] == ["empty_file"]


def test_files_are_kept_listed_fetched_and_deleted(guest: Guest) -> None:
    client = guest.openai
    kept = []
    for at in range(3):
        asked: Any = {"anchor": "created_at", "seconds": 3600 + at}
        kept.append(
            client.files.create(
                file=(f"rows \u00e9\n{at}.jsonl", b"x" * at), purpose="batch", expires_after=asked
            )
        )
    assert [one.filename for one in kept] == [f"rows \u00e9{at}.jsonl" for at in range(3)]
    assert [(one.expires_at or 0) - one.created_at for one in kept] == [3600, 3601, 3602]
    page = client.files.list(limit=2)
    ids = [one.id for one in kept]
    assert ([one.id for one in page.data], page.has_more) == (ids[:0:-1], True)
    assert [one.id for one in page] == ids[::-1]
    assert [one.id for one in client.files.list(order="asc", after=ids[0])] == ids[1:]
    assert list(client.files.list(purpose="batch_output")) == []
    assert client.files.retrieve(ids[2]) == kept[2]
    answer = guest.http.get(f"/v1/files/{ids[2]}/content", headers={"range": "bytes=1-"})
    assert (answer.status_code, answer.content) == (206, b"x")
    assert "rows%20%C3%A92.jsonl" in answer.headers["content-disposition"]
    assert client.files.content(ids[0]).content == b""
    assert client.files.delete(ids[1]).deleted
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            call(ids[1])


def test_what_makes_no_sense_is_refused_by_name(guest: Guest) -> None:
    ended = finished(guest, begin(guest, [chat("one", "x")], CHAT).id)
    good = {"input_file_id": ended.input_file_id, "endpoint": CHAT, "completion_window": "24h"}
    for wrong in (
        {"endpoint": "/v1/responses"},
        {"completion_window": "1h"},
        {"input_file_id": 7},
        {"input_file_id": None},
        {"input_file_id": ended.output_file_id},
        {"metadata": {"a": 1}},
        {"metadata": {str(at): "x" for at in range(17)}},
        {"output_expires_after": {"anchor": "created_at", "seconds": 1}},
    ):
        answer = guest.http.post("/v1/batches", json={**good, **wrong})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(wrong)))
    file = {"file": ("a.jsonl", b"{}")}
    for form, param in (
        ({"files": file}, "purpose"),
        ({"files": file, "data": {"purpose": "fine-tune"}}, "purpose"),
        ({"files": {"other": file["file"]}, "data": {"purpose": "batch"}}, "file"),
        ({"data": {"purpose": "batch"}}, None),
        ({"files": file, "data": {"purpose": "batch", "expires_after[seconds]": "x"}}, "expires_after"),
    ):
        answer = guest.http.post("/v1/files", **form)  # type: ignore[arg-type]  # what a client may send
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    answer = guest.http.post(f"/v1/batches/{ended.id}/cancel")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "batch_not_cancellable")


def test_a_create_that_is_sent_twice_makes_one_batch(guest: Guest) -> None:
    first, other = (begin(guest, [chat("one", "x")], CHAT) for _ in range(2))

    def create(file: str, **headers: str) -> Any:
        asked = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
        return guest.http.post("/v1/batches", json=asked, headers=headers).json()

    made = create(first.input_file_id, **{"idempotency-key": "a"})["id"]
    assert create(first.input_file_id, **{"idempotency-key": "a"})["id"] == made
    assert create(first.input_file_id, **{"x-stainless-retry-count": "1"})["id"] == made
    assert create(other.input_file_id, **{"idempotency-key": "a"})["error"]["code"] == "idempotency_mismatch"
    page = guest.openai.batches.list(limit=2)
    assert ([one.id for one in page.data], page.has_more) == ([made, other.id], True)
    assert [one.id for one in page] == [made, other.id, first.id]


def test_nobody_learns_of_somebody_elses_files_and_batches(guests: Callable[[], Guest]) -> None:
    owner, stranger = guests(), guests()
    ended = finished(owner, begin(owner, [chat("one", "x")], CHAT).id)
    ways = [("get", "batches", "", ended.id), ("post", "batches", "/cancel", ended.id)]
    for file in (ended.input_file_id, ended.output_file_id or ""):
        ways += [
            ("get", "files", "", file),
            ("get", "files", "/content", file),
            ("head", "files", "/content", file),
        ]
        ways.append(("delete", "files", "", file))
    for method, kind, ending, identity in ways:
        told = []
        for one in (identity, NOBODYS[kind], "x", "%00", identity.upper()):
            answer = stranger.http.request(method, f"/v1/{kind}/{one}{ending}")
            told.append((answer.status_code, answer.text))
        assert {status for status, _ in told} == {404}
        assert len(set(told)) == 1
    asked = {"endpoint": CHAT, "completion_window": "24h"}
    theirs, nobodys = (
        stranger.http.post("/v1/batches", json={**asked, "input_file_id": one})
        for one in (ended.input_file_id, NOBODYS["files"])
    )
    assert (theirs.status_code, theirs.text) == (404, nobodys.text)
    for kind, after in (("files", ended.input_file_id), ("batches", ended.id)):
        for params in ({}, {"after": after}):
            assert stranger.http.get(f"/v1/{kind}", params=params).json()["data"] == []
    assert lines(owner, ended.output_file_id)


def test_the_node_client_has_every_method_of_files_and_batches(guest: Guest) -> None:
    install()
    stage: Any = SimpleNamespace(url=guest.url)

    def node(*calls: dict[str, Any]) -> list[Any]:
        return [one["value"] for one in call_node(stage, *calls, key=guest.key)]

    text = jsonl([chat("one", "Hello from Node")]).decode()
    [file] = node({"do": "file_create", "ask": {"purpose": "batch", "text": text}})
    asked = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    [made] = node({"do": "batch_create", "ask": asked})
    ended = finished(guest, made["id"])
    found, listed, content, files, one, deleted = node(
        {"do": "batch_retrieve", "ask": made["id"]},
        {"do": "batch_list", "ask": {"limit": 1}},
        {"do": "file_content", "ask": ended.output_file_id},
        {"do": "file_list", "ask": {"purpose": "batch"}},
        {"do": "file_retrieve", "ask": file["id"]},
        {"do": "file_delete", "ask": file["id"]},
    )
    assert found["id"] == listed[0]["id"] == made["id"]
    assert json.loads(content)["custom_id"] == "one"
    assert files == [one]
    assert deleted["deleted"] is True
