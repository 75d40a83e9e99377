"""What Gemini is sent for the messages of a chat: texts, media, calls, results."""

import base64
from typing import Any

import pytest

from providers.chat import gemini
from providers.errors import ErrorKind
from providers.types import ChatRequest
from tests.providers.chat.gemini_cases import SIGNATURE, accepted, ask, picture, refused, target
from tests.providers.chat.talking import asked


def test_every_system_text_goes_to_the_top_and_the_user_begins() -> None:
    chat = asked(
        {
            "messages": [
                {"role": "system", "content": "A"},
                {"role": "assistant", "content": "one"},
                {"role": "assistant", "content": "two", "refusal": "no"},
                {"role": "developer", "content": [{"type": "text", "text": "B"}]},
                {"role": "user", "content": "x"},
                {"role": "user", "content": "y"},
            ]
        }
    )
    body = accepted(chat)
    assert body["systemInstruction"] == {"parts": [{"text": "A"}, {"text": "B"}]}
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": " "}]},
        {"role": "model", "parts": [{"text": "one"}, {"text": "two"}, {"text": "no"}]},
        {"role": "user", "parts": [{"text": "x"}, {"text": "y"}]},
    ]


def test_contents_are_never_empty() -> None:
    body = accepted(asked({"messages": [{"role": "system", "content": "A"}]}))
    assert body["contents"] == [{"role": "user", "parts": [{"text": " "}]}]


def test_linked_pictures_are_asked_for_and_sent_as_bytes() -> None:
    link = "https://images.example.com/cat.png"
    content = [{"type": "image_url", "image_url": {"url": link}}, {"type": "text", "text": "What?"}]
    assert gemini.media_urls(ask(content)) == [link]
    part = accepted(ask(content, media={link: picture(b"bytes")}))["contents"][0]["parts"][0]
    assert part == {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(b"bytes").decode()}}
    error = refused(ask(content))
    assert (error.kind, error.param) == (ErrorKind.UNSUPPORTED, "messages[0].content[0].image_url.url")


@pytest.mark.parametrize(
    ("link", "data"),
    [
        ("gs://b/clip.mp4", {"mimeType": "video/mp4", "fileUri": "gs://b/clip.mp4"}),
        ("https://www.youtube.com/watch?v=1", {"fileUri": "https://www.youtube.com/watch?v=1"}),
        (
            "https://generativelanguage.googleapis.com/v1beta/files/abc",
            {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"},
        ),
    ],
)
def test_links_that_google_opens_itself_are_passed_on(link: str, data: dict[str, str]) -> None:
    chat = ask([{"type": "video_url", "video_url": {"url": link}}])
    assert gemini.media_urls(chat) == []
    assert accepted(chat)["contents"][0]["parts"] == [{"fileData": data}]


def test_a_file_of_geminis_own_is_named_and_another_providers_is_refused() -> None:
    mine = accepted(ask([{"type": "file", "file": {"file_id": "files/abc", "filename": "a.pdf"}}]))
    uri = "https://generativelanguage.googleapis.com/v1beta/files/abc"
    assert mine["contents"][0]["parts"] == [{"fileData": {"fileUri": uri}}]
    error = refused(ask([{"type": "file", "file": {"file_id": "file-9"}}]))
    assert error.kind is ErrorKind.UNSUPPORTED


def test_sound_is_sent_inline() -> None:
    data = base64.b64encode(b"RIFF\0\0\0\0WAVEfmt ").decode()
    chat = ask([{"type": "input_audio", "input_audio": {"data": data, "format": "mp3"}}])
    assert accepted(chat)["contents"][0]["parts"] == [{"inlineData": {"mimeType": "audio/wav", "data": data}}]


def history(content: Any, extra: dict[str, Any] | None = None, **call: Any) -> ChatRequest:
    """A history with one call and its result."""
    called = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}, **call}
    return asked(
        {
            "messages": [
                {"role": "user", "content": "x"},
                {"role": "assistant", "tool_calls": [called | ({"extra_content": extra} if extra else {})]},
                {"role": "tool", "tool_call_id": "c1", "content": content},
                {"role": "user", "content": "and?"},
            ]
        }
    )


def test_results_stand_apart_from_what_the_user_says_next() -> None:
    contents = accepted(history("fine"))["contents"]
    assert [content["role"] for content in contents] == ["user", "model", "user", "user"]
    assert contents[2]["parts"] == [
        {"functionResponse": {"id": "c1", "name": "look", "response": {"output": "fine"}}}
    ]


@pytest.mark.parametrize(
    ("content", "response"),
    [
        ('{"a": 1}', {"a": 1}),
        ("[1]", {"output": "[1]"}),
        ("", {"output": ""}),
        ('{"$ref": "x"}', {"output": '{"$ref": "x"}'}),
        ("[tool error] broken", {"error": "broken"}),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], {"output": "a\nb"}),
    ],
)
def test_a_result_is_always_an_object(content: Any, response: dict[str, Any]) -> None:
    part = accepted(history(content))["contents"][2]["parts"][0]
    assert part["functionResponse"]["response"] == response


def test_a_picture_in_a_result_stays_there_on_new_models_and_follows_on_old_ones() -> None:
    uri = "data:image/png;base64,iVBORw0KGgo="
    chat = history([{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": uri}}])
    inline = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
    new = accepted(chat)["contents"]
    assert new[2]["parts"][0]["functionResponse"]["parts"] == [inline]
    old = accepted(chat, target("gemini-2.5-flash"))["contents"]
    assert "parts" not in old[2]["parts"][0]["functionResponse"]
    assert old[3]["parts"] == [{"text": "What look returned:"}, inline, {"text": "and?"}]


@pytest.mark.parametrize(
    ("model", "rules", "extra", "signature"),
    [
        ("gemini-3.8-flash", {}, {"google": {"thought_signature": SIGNATURE}}, SIGNATURE),
        ("gemini-3.8-flash", {}, {"other": {}}, "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="),
        ("gemini-2.5-flash", {}, None, None),
        (
            "tuned",
            {"needs_thought_signature_on_function_calls": True},
            None,
            "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=",
        ),
    ],
)
def test_calls_carry_a_signature_where_the_model_needs_one(
    model: str, rules: dict[str, Any], extra: dict[str, Any] | None, signature: str | None
) -> None:
    part = accepted(history("x", extra), target(model, rules=rules))["contents"][1]["parts"][0]
    assert part.get("thoughtSignature") == signature


def test_a_texts_signature_goes_back_to_the_text() -> None:
    details = [
        {"type": "reasoning.text", "format": "anthropic-claude-v1", "signature": "z", "text": "t"},
        {"type": "reasoning.encrypted", "format": "google-gemini-v1", "data": SIGNATURE},
    ]
    messages = [
        {"role": "assistant", "content": "a", "reasoning_details": details},
        {"role": "user", "content": "b"},
    ]
    parts = accepted(asked({"messages": messages}))["contents"][1]["parts"]
    assert parts == [{"text": "a", "thoughtSignature": SIGNATURE}]
