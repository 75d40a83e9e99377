"""What a file says about moderation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.moderation import _pattern
from gateway.config.snapshot import Moderation
from gateway.config.wording import plain
from tests.config.samples import compiled, problems

TEXT = """\
providers:
  guard: {dialect: openai, base_url: https://guard.example/v1, key: env:OWN}
  other: {dialect: anthropic, base_url: https://other.example, key: env:OWN}
  film: {dialect: openai, kind: video, base_url: https://film.example/v1, key: env:OWN}
models:
  movie:
    kind: video
    targets: [{provider: film, model: m, price: {per_second: 1}}]
    moderation: RULE
keys:
  - {name: a, key: env:A}
"""
SET = {"OWN": "own-secret", "A": "key-a"}


def rule(written: str) -> Moderation:
    found = compiled(TEXT.replace("RULE", written), SET).routes["movie"].moderation
    assert found is not None
    return found


def test_a_route_without_it_has_none() -> None:
    assert compiled(TEXT.replace("    moderation: RULE\n", ""), SET).routes["movie"].moderation is None


def test_an_endpoint_is_asked_with_sound_defaults() -> None:
    found = rule("{provider: guard}")
    assert found.target is not None
    assert (found.target.base_url, found.target.model) == (
        "https://guard.example/v1",
        "omni-moderation-latest",
    )
    assert (found.timeout, found.allow_unasked, found.denied) == (5.0, False, None)
    found = rule("{provider: guard, model: own-guard, timeout: 500ms, on_error: allow, deny: [x]}")
    assert found.target is not None
    assert found.target.model == "own-guard"
    assert (found.timeout, found.allow_unasked) == (0.5, True)
    assert found.denied is not None


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("a Bad  Word here", "bad word"),
        ("BAD\nWORD", "bad word"),
        ("(bad word)", "bad word"),
        ("\uff42\uff41\uff44 word", "bad word"),
        ("b\u200bad word", "bad word"),
        ("die STRASSE", "strasse"),
        ("C++ and more", "c++"),
        ("bad words", None),
        ("abad word", None),
        ("bad", None),
    ],
)
def test_words_are_found_however_they_are_written_and_only_whole(prompt: str, found: str | None) -> None:
    denied = rule('{deny: ["bad word", "straße", "c++"]}').denied
    assert denied is not None
    hit = denied.search(plain(prompt))
    assert (hit and hit[0]) == found


@given(st.text(min_size=1, max_size=20).filter(plain))
def test_whatever_is_on_the_list_is_found_where_it_stands(phrase: str) -> None:
    assert _pattern([phrase]).search(plain(f"before {phrase} after"))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{}", "needs `deny`, `provider`, or both"),
        ("{deny: []}", "needs `deny`, `provider`, or both"),
        ("{deny: [x], on_error: allow}", "sets on_error, which only a `provider` uses"),
        ("{provider: gaurd}", 'unknown provider "gaurd": did you mean "guard"?'),
        ("{provider: other}", "needs a moderations endpoint: kind chat, dialect openai"),
        ("{provider: film}", "needs a moderations endpoint: kind chat, dialect openai"),
        ("{provider: guard, on_error: ignore}", "on_error"),
        ("{provider: guard, words: [x]}", "words"),
    ],
)
def test_what_cannot_hold_is_named_with_its_place(written: str, said: str) -> None:
    [problem] = problems(TEXT.replace("RULE", written), SET)
    assert problem.startswith("9:")
    assert "models.movie.moderation" in problem
    assert said in problem


def test_it_is_for_videos() -> None:
    chat = TEXT.replace("kind: video\n    targets", "targets").replace("provider: film", "provider: guard")
    chat = chat.replace(", price: {per_second: 1}", "").replace("RULE", "{deny: [x]}")
    [problem] = problems(chat, SET)
    assert "is for models of kind video; this one is chat" in problem
