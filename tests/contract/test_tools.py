"""Tools with OpenAI's Python client: calls, their results, parallel calls, and what old programs still send."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.contract.stage import ASK, Stage
from tests.upstreams import DIALECTS, fixture

every_dialect = pytest.mark.parametrize("dialect", DIALECTS)

QUESTION = fixture("canonical/tools.request.json")["messages"]
TOOLS = fixture("canonical/tools.request.json")["tools"]
CALLS = [("get_weather", {"city": "Paris", "unit": "celsius"}), ("get_time", {"tz": "Europe/Paris"})]
IDS = {
    "openai": ["call_A1", "call_B2"],
    "anthropic": ["toolu_01A", "toolu_01B"],
    "gemini": ["fc-1", "fc-2"],
}


def called(message: Any) -> list[tuple[str, Any]]:
    """The calls of an answer: name and arguments."""
    calls = [call.function for call in message.tool_calls or ()]
    return [(function.name, json.loads(function.arguments)) for function in calls]


@every_dialect
async def test_parallel_calls_come_whole_and_streamed_alike(stage: Stage, dialect: str) -> None:
    stage.providers[dialect].gives("tools.response.json", "tools.stream.sse")
    async with stage.client() as client:
        whole = await client.chat.completions.create(model=dialect, messages=QUESTION, tools=TOOLS)
        asking = client.chat.completions.stream(model=dialect, messages=QUESTION, tools=TOOLS)
        async with asking as stream:
            done = [event async for event in stream if event.type == "tool_calls.function.arguments.done"]
            final = await stream.get_final_completion()
    for answer in (whole, final):
        assert answer.choices[0].finish_reason == "tool_calls"
        assert called(answer.choices[0].message) == CALLS
        assert [call.id for call in answer.choices[0].message.tool_calls or ()] == IDS[dialect]
    assert [(event.name, json.loads(event.arguments), event.index) for event in done] == [
        (*call, at) for at, call in enumerate(CALLS)
    ]


def openai_pairs(body: Any) -> tuple[list[str], list[str]]:
    """The ids of an upstream request's calls, and those of its results."""
    *_, calling, first, second = body["messages"]
    results = [first["tool_call_id"], second["tool_call_id"]]
    return [call["id"] for call in calling["tool_calls"]], results


def anthropic_pairs(body: Any) -> tuple[list[str], list[str]]:
    """The same; all results stand in one turn of the user's."""
    calling, results = body["messages"][-2:]
    assert (calling["role"], results["role"]) == ("assistant", "user")
    calls = [block["id"] for block in calling["content"] if block["type"] == "tool_use"]
    assert all(block["type"] == "tool_result" for block in results["content"])
    return calls, [block["tool_use_id"] for block in results["content"]]


def gemini_pairs(body: Any) -> tuple[list[str], list[str]]:
    """The same; the first call still has the signature it came with."""
    calling, results = body["contents"][-2:]
    assert (calling["role"], results["role"]) == ("model", "user")
    parts = [part for part in calling["parts"] if "functionCall" in part]
    assert parts[0]["thoughtSignature"] == "Zml4dHVyZS10aG91Z2h0LXNpZ25hdHVyZQ=="
    names = [part["functionResponse"]["name"] for part in results["parts"]]
    assert names == [name for name, _ in CALLS]
    calls = [part["functionCall"]["id"] for part in parts]
    return calls, [part["functionResponse"]["id"] for part in results["parts"]]


PAIRS: Mapping[str, Callable[[Any], tuple[list[str], list[str]]]] = {
    "openai": openai_pairs,
    "anthropic": anthropic_pairs,
    "gemini": gemini_pairs,
}


@every_dialect
@pytest.mark.parametrize("streamed", [False, True])
async def test_an_agents_turn_goes_round(stage: Stage, dialect: str, streamed: bool) -> None:
    up = stage.providers[dialect]
    up.gives("tools.stream.sse" if streamed else "tools.response.json", "chat.response.json")
    async with stage.client() as client:
        create = client.chat.completions
        if streamed:
            async with create.stream(model=dialect, messages=QUESTION, tools=TOOLS) as stream:
                message: Any = (await stream.get_final_completion()).choices[0].message
        else:
            asked = await create.create(model=dialect, messages=QUESTION, tools=TOOLS)
            message = asked.choices[0].message
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": f"result of {call.function.name}"}
            for call in message.tool_calls
        ]
        turns = [*QUESTION, message, *results]
        answer = await create.create(model=dialect, messages=turns, tools=TOOLS)
    assert answer.choices[0].message.content == "Salut !"
    calls, answered = PAIRS[dialect](up.asked)
    assert calls == answered
    assert len(set(calls)) == 2
    sent = up.last.body
    assert sent.index(b"result of get_weather") < sent.index(b"result of get_time")


async def test_a_call_without_arguments_says_an_empty_object(stage: Stage) -> None:
    stage.providers["anthropic"].gives("tools_noargs.stream.sse")
    async with stage.client() as client:
        async with client.chat.completions.stream(model="anthropic", **ASK) as stream:
            final = await stream.get_final_completion()
    assert called(final.choices[0].message) == [("refresh", {})]


async def test_calls_that_a_provider_gave_no_id_get_one_that_finds_them_again(stage: Stage) -> None:
    up = stage.providers["gemini"]
    up.gives("tools_noid.response.json", "chat.response.json")
    async with stage.client() as client:
        asked = await client.chat.completions.create(model="gemini", messages=QUESTION, tools=TOOLS)
        message: Any = asked.choices[0].message
        results = [{"role": "tool", "tool_call_id": call.id, "content": "ok"} for call in message.tool_calls]
        turns = [*QUESTION, message, *results]
        await client.chat.completions.create(model="gemini", messages=turns, tools=TOOLS)
    names = [part["functionResponse"]["name"] for part in up.asked["contents"][-1]["parts"]]
    assert names == [call.function.name for call in message.tool_calls]


@pytest.mark.parametrize("dialect", ["anthropic", "gemini"])
async def test_old_programs_that_offer_functions_get_a_function_call(stage: Stage, dialect: str) -> None:
    stage.providers[dialect].gives("tools.response.json", "tools.stream.sse")
    functions = [tool["function"] for tool in TOOLS]
    async with stage.client() as client:
        whole = await client.chat.completions.create(model=dialect, messages=QUESTION, functions=functions)
        stream = await client.chat.completions.create(
            model=dialect, messages=QUESTION, functions=functions, stream=True
        )
        chunks = [chunk async for chunk in stream]
    told = [chunk.choices[0].delta.function_call for chunk in chunks if chunk.choices[0].delta.function_call]
    message = whole.choices[0].message
    assert message.function_call is not None
    assert message.tool_calls is None
    for name, arguments in (
        (message.function_call.name, message.function_call.arguments),
        ("".join(one.name or "" for one in told), "".join(one.arguments or "" for one in told)),
    ):
        assert (name, json.loads(arguments)) == CALLS[0]
    assert whole.choices[0].finish_reason == chunks[-1].choices[0].finish_reason == "function_call"


async def test_a_tool_that_takes_free_text_is_called_with_it(stage: Stage) -> None:
    body = fixture("anthropic/tools.response.json")
    body["content"] = [{"type": "tool_use", "id": "toolu_1", "name": "shell", "input": {"input": "ls -l"}}]
    stage.providers["anthropic"].gives_body(body)
    shell: Any = {"type": "custom", "custom": {"name": "shell", "description": "Runs a command."}}
    async with stage.client() as client:
        got = await client.chat.completions.create(model="anthropic", tools=[shell], **ASK)
    [call] = got.choices[0].message.tool_calls or []
    assert call.type == "custom"
    assert (call.custom.name, call.custom.input) == ("shell", "ls -l")


class GetWeather(BaseModel):
    """Current weather of a city."""

    city: str
    unit: str


class GetTime(BaseModel):
    """Current local time."""

    tz: str


@every_dialect
async def test_tools_made_of_pydantic_models_come_back_as_such(stage: Stage, dialect: str) -> None:
    stage.providers[dialect].gives("tools.response.json")
    tools = [
        openai.pydantic_function_tool(GetWeather, name="get_weather"),
        openai.pydantic_function_tool(GetTime, name="get_time"),
    ]
    async with stage.client() as client:
        got = await client.chat.completions.parse(model=dialect, messages=QUESTION, tools=tools)
    parsed = [call.function.parsed_arguments for call in got.choices[0].message.tool_calls or ()]
    assert parsed == [GetWeather(city="Paris", unit="celsius"), GetTime(tz="Europe/Paris")]
