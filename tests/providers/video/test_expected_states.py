"""Every recorded answer of every dialect means what the table of expected states says."""

import json
from typing import Any

import pytest

from gateway.service.attempts import SUBMIT
from providers.adapter import DUPLICATE_SUBMIT, VideoAdapter
from providers.errors import ProviderError
from providers.types import HttpResponse, VideoUpdate
from providers.video import VIDEO
from tests.providers.video.wire import FIXTURES, response

DIALECTS = {"luma_agents": "luma", "kling_v3": "kling", "minimax_v2": "minimax", "veo_vertex": "veo"}
"""The dialect of a folder that is called otherwise."""
EXPECTED: dict[str, Any] = {
    name: told
    for name, told in json.loads((FIXTURES / "expected_states.json").read_text()).items()
    if DIALECTS.get(name.split("/")[0], name.split("/")[0]) in VIDEO
}


@pytest.mark.parametrize("name", EXPECTED)
def test_an_answer_means_what_it_should(name: str) -> None:
    folder, kind = name.split("/")
    dialect, told = VIDEO[DIALECTS.get(folder, folder)], response(name)
    if (
        kind.startswith("error_") and EXPECTED[name].get("error_code") != "job_lost"
    ):  # which only a poll finds
        _refused(dialect, told, EXPECTED[name])
    else:
        update = dialect.video_created(told) if kind == "submit_response" else dialect.video_update(told)
        _told(update, EXPECTED[name])


def _told(update: VideoUpdate, expected: Any) -> None:
    if update.follow:
        assert expected["status"] == "completed"  # and where it points, the rest is told
        return
    assert ("failed" if update.state == "gone" else update.state) == expected["status"]
    assert update.code == expected.get("error_code", "")
    assert (update.blamed or update.code == "cancelled") == (expected["failover"] == "stop")
    assert not update.code or update.message


def _refused(dialect: VideoAdapter, told: HttpResponse, expected: Any) -> None:
    """What becomes of a submit that was answered so."""
    if told.status < 300:
        with pytest.raises(ProviderError) as raised:
            dialect.video_created(told)
        error = raised.value
    else:
        error = dialect.error(told)
    if expected["failover"] == "none":
        assert error.code == DUPLICATE_SUBMIT
        return
    reading = SUBMIT[error.kind]
    assert reading.final == (expected["failover"] == "stop")
    assert reading.busy if expected["status"] == "queued" else reading.code == expected["error_code"]
