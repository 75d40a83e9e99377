"""Whatever is done to a routing file, the answer is a snapshot or a ConfigError that names a place."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.catalogue import data_file
from gateway.config.compile import Source, compile_config
from gateway.config.problems import ConfigError
from tests.config.samples import NOW

EXAMPLE = data_file("fairlead.yaml").read_text(encoding="utf-8")
COMMENTED_IN = EXAMPLE.replace("\n  # ", "\n  ").replace("\n  #", "\n  ")
ENVIRONMENT = {"FAIRLEAD_DEMO_KEY": "demo-key", "ACME_API_KEY": "acme-key"}
PIECES = (
    *"{}[]:,-?*&!|>%@`~'\"#\t\n\0\x85",
    "- ", ": ", "\n  ", "---\n", "...\n", "&a ", "*a", "!!int ", "<<: ", "{}", "[]", "null", "true", "-1", "1e999",
    ".nan", "9" * 40, "0x1F", "2026-11-20", "\ud800", "é", "\ufeff", "provider", "models:", "targets", "limits",
    "price", "key", "hash", "env:HOME", "file:/dev/zero", "file:/tmp", "sora-2", "demo", "*", "a/../b", "sk-123",
)  # fmt: skip
MUTATIONS = 3_000


def outcome(text: str) -> str:
    try:
        compile_config(Source(text, "f.yaml", ENVIRONMENT, NOW))
    except ConfigError as error:
        found = error.problems
    else:
        return "compiled"
    assert found
    assert all(problem.line >= 1 and problem.message for problem in found)
    assert not any(value in str(found) for value in ENVIRONMENT.values())
    return "refused"


def mutated(text: str, dice: random.Random) -> str:
    for _ in range(dice.randint(1, 6)):
        start = dice.randrange(len(text) + 1)
        end = min(len(text), start + dice.choice((0, 0, 1, 2, 8, 40)))
        other = dice.randrange(len(text) + 1)
        text = dice.choice(
            (
                text[:start] + dice.choice(PIECES) + text[end:],
                text[:start] + text[end:],
                text[:start] + text[other : other + 60] + text[start:],
                text[:start] + text[start:end][::-1] + text[end:],
            )
        )
    return text


def test_thousands_of_mutations_of_the_example_raise_nothing_else() -> None:
    dice = random.Random(20261120)
    seen = {outcome(mutated(dice.choice((EXAMPLE, COMMENTED_IN)), dice)) for _ in range(MUTATIONS)}
    assert seen == {"refused", "compiled"}


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(PIECES),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(PIECES) | st.text(max_size=5), inner)
    ),
    max_leaves=8,
)
WORDS = (
    "providers", "models", "defaults", "limits", "keys", "dialect", "kind", "base_url", "key", "headers", "quirks",
    "targets", "provider", "model", "price", "timeout", "health", "retries", "policy", "requests", "per", "name",
    "hash", "demo", "openai", "scripted", "minute", "input", "per_second",
)  # fmt: skip


def shaped(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(WORDS), st.recursive(json | st.sampled_from(WORDS), shaped), max_size=5)
)
def test_right_words_in_wrong_places_raise_nothing_else(data: dict[str, object]) -> None:
    outcome(repr(data).replace("None", "null").replace("True", "true").replace("False", "false"))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_any_text_raises_nothing_else(text: str) -> None:
    outcome(text)
