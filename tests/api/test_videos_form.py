"""Bracketed form fields become what their writer meant, in whatever order they come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.multipart import put
from gateway.errors import InvalidRequest

NAMES = st.text("ab[]", max_size=8)


def fields(*pairs: tuple[str, object]) -> dict[str, object]:
    made: dict[str, object] = {}
    for name, value in pairs:
        put(made, name, value)
    return made


def test_brackets_nest_and_append() -> None:
    assert fields(("m[a]", 1), ("t[]", "x"), ("p", "z"), ("m[b]", 2), ("t[]", "y"), ("d[a][b][c]", "q")) == {
        "m": {"a": 1, "b": 2},
        "t": ["x", "y"],
        "p": "z",
        "d": {"a": {"b": {"c": "q"}}},
    }


def test_objects_in_a_list_begin_where_a_name_comes_again() -> None:
    assert fields(("c[][id]", "1"), ("c[][id]", "2"), ("c[][name]", "x"), ("c[][name]", "y")) == {
        "c": [{"id": "1"}, {"id": "2", "name": "x"}, {"name": "y"}],
    }


@pytest.mark.parametrize("pair", [("a", "a[b]"), ("a[]", "a[b]"), ("a[b]", "a[b][c]"), ("a", "a[]")])
def test_a_name_cannot_be_a_value_and_a_group(pair: tuple[str, str]) -> None:
    for names in (pair, pair[::-1]):
        with pytest.raises(InvalidRequest, match="both a value and a group"):
            fields(*((name, "x") for name in names))


def test_nesting_has_an_end() -> None:
    with pytest.raises(InvalidRequest, match="too deeply"):
        fields(("a" + "[b]" * 50, "x"))


@given(st.lists(st.tuples(NAMES, st.integers()), max_size=6))
def test_no_name_breaks_anything(pairs: list[tuple[str, int]]) -> None:
    try:
        made = fields(*pairs)
    except InvalidRequest:
        return
    assert all(isinstance(name, str) for name in made)
