import pytest

from gateway.config.document import MAX_BYTES, MAX_NODES, Place, UnreadableError, read


def refused(text: str) -> UnreadableError:
    with pytest.raises(UnreadableError) as caught:
        read(text)
    return caught.value


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("60", 60),
        ("100_000", 100_000),
        ("-5", -5),
        ("0.25", 0.25),
        ("1e3", 1000.0),
        ("true", True),
        ("~", None),
        ("no", "no"),
        ("on", "on"),
        ("2026-11-20", "2026-11-20"),
        ("1:30", "1:30"),
        (".inf", ".inf"),
        ("0x1F", "0x1F"),
        ("'60'", "60"),
        ('"true"', "true"),
        ("sha256:ab", "sha256:ab"),
    ],
)
def test_words_mean_what_yaml_1_2_says(written: str, value: object) -> None:
    data = read(f"a: {written}").data["a"]
    assert data == value
    assert type(data) is type(value)


def test_keys_are_text_whatever_they_look_like() -> None:
    assert read("{4: a, true: b, null: c, 1.5: d, off: e}").data == {
        "4": "a",
        "true": "b",
        "null": "c",
        "1.5": "d",
        "off": "e",
    }


def test_every_value_is_found_where_it_stands_and_what_is_missing_near_by() -> None:
    document = read("models:\n  fast:\n    targets:\n      - provider: a\n      - {provider: b}\n")
    assert document.place(("models", "fast")) == Place(2, 3)
    assert document.place(("models", "fast", "targets", 1, "provider")) == Place(5, 10)
    assert document.place(("models", "fast", "targets", 1, "model")) == Place(5, 9)
    assert document.place(("keys", 3)) == Place(1, 1)


def test_a_key_given_again_is_noticed_at_its_second_place() -> None:
    assert read("a: 1\nb: 2\na: 3\n").twice == {("a",): Place(3, 1)}


def test_an_alias_repeats_what_its_anchor_named() -> None:
    assert read("a: &x {n: 1}\nb: *x\n").data == {"a": {"n": 1}, "b": {"n": 1}}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: [1, 2\nb: 3", 2, "not YAML"),
        ("a: 'open", 1, "not YAML"),
        ("a: 1\n---\nb: 2", 2, "second document"),
        ("a: !!int '3'", 1, "tags"),
        ("a: *nowhere", 1, "alias"),
        ("a: &x [*x]", 1, "alias"),
        ("? [a]\n: 1", 1, "plain text"),
        ("a: \x00", 1, "not allowed"),
        ("a: \ud800", 1, "UTF-8"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text: str, line: int, words: str) -> None:
    error = refused(text)
    assert words in error.message
    assert error.place.line == line


def test_depth_size_and_aliases_are_bounded() -> None:
    assert "deeper" in refused("[" * 200_000).message
    assert "deeper" in refused("- " * 200_000).message
    assert "bytes" in refused("#" * (MAX_BYTES + 1)).message
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 9):
        bomb += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n"
    assert str(MAX_NODES) in refused(bomb).message
