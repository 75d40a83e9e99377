"""OpenAI's synchronous client, alone and on many threads at once."""

from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from tests.contract.stage import ASK, Stage
from tests.upstreams import DIALECTS


@pytest.mark.parametrize("dialect", DIALECTS)
def test_all_surfaces_work_without_an_event_loop(stage: Stage, dialect: str) -> None:
    stage.providers[dialect].gives("chat.response.json", "chat.stream.sse", "chat.stream.sse")
    with stage.sync_client() as client:
        whole = client.chat.completions.create(model=dialect, **ASK)
        pieces = client.chat.completions.create(model=dialect, stream=True, **ASK)
        said = "".join(chunk.choices[0].delta.content or "" for chunk in pieces)
        with client.chat.completions.stream(model=dialect, **ASK) as stream:
            final = stream.get_final_completion()
        assert dialect in [model.id for model in client.models.list()]
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("nothing")
    assert whole.choices[0].message.content == said == final.choices[0].message.content == "Salut !"


def test_embeddings_work_without_an_event_loop(stage: Stage) -> None:
    stage.providers["openai"].gives("embeddings.base64.response.json")
    with stage.sync_client() as client:
        got = client.embeddings.create(model="embedding-openai", input="hello")
    assert got.data[0].embedding == pytest.approx([0.1, -0.2, 0.3])


def test_many_threads_may_share_one_client(stage: Stage) -> None:
    for dialect in DIALECTS:
        up = stage.providers[dialect]
        up.always(up.step("chat.stream.sse"))
    with stage.sync_client() as client:

        def ask(number: int) -> str:
            model = DIALECTS[number % len(DIALECTS)]
            pieces = client.chat.completions.create(model=model, stream=True, **ASK)
            return "".join(chunk.choices[0].delta.content or "" for chunk in pieces)

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(ask, range(24))) == {"Salut !"}
