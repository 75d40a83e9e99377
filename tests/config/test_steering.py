"""What a file says about which requests a target is asked for."""

import pytest

from tests.config.samples import compiled, problems

TEXT = """\
providers:
  own: {dialect: openai, base_url: https://own.example/v1, key: env:OWN}
  film: {dialect: openai, kind: video, base_url: https://film.example/v1, key: env:OWN}
models:
  fast:
    targets:
      - {provider: own, model: m}
      - {provider: own, model: n}
  movie:
    kind: video
    targets: [{provider: film, model: m, price: {per_second: 1}}]
keys:
  - {name: a, key: env:A, models: [fast]}
"""
SET = {"OWN": "own-secret", "A": "key-a"}


def with_terms(terms: str, more: str = "") -> str:
    return TEXT.replace("model: n}", f"model: n, {terms}}}" + more)


def test_a_target_without_terms_costs_a_request_nothing():
    route = compiled(TEXT, SET).routes["fast"]
    assert not route.steered
    assert [target.terms for target in route.targets] == [None, None]


def test_every_term_is_compiled_and_makes_the_route_look_at_requests():
    route = compiled(
        with_terms("when: {tools: false, max_input: 900}, tags: [eu, gold], region: eu-west-1, canary: 5"),
        SET,
    ).routes["fast"]
    assert route.steered
    terms = route.targets[1].terms
    assert terms is not None
    assert (terms.tools, terms.images, terms.max_input) == (False, None, 900)
    assert terms.tags == {"eu", "gold"}
    assert terms.region == "eu-west-1"
    assert terms.canary == (0.0, 0.05)


def test_canaries_share_out_and_do_not_overlap():
    text = with_terms("canary: 5", "\n      - {provider: own, model: o, canary: 20}")
    ranges = [target.terms and target.terms.canary for target in compiled(text, SET).routes["fast"].targets]
    assert ranges == [None, (0.0, 0.05), (0.05, 0.25)]


def test_a_shadow_is_no_target():
    route = compiled(with_terms("shadow: 10"), SET).routes["fast"]
    assert [target.id for target in route.targets] == ["own/m"]
    assert [target.id for target in route.shadows] == ["own/n"]


def test_a_key_has_its_own_names_for_models():
    (key,) = compiled(TEXT.replace("models: [fast]", "models: [fast], aliases: {gpt-4o: fast}"), SET).keys
    assert key.caller.aliases == {"gpt-4o": "fast"}


def test_a_key_is_held_to_places_that_there_are():
    text = with_terms("tags: [gold], region: eu-west-1").replace(
        "models: [fast]", "region: eu-west, tags: [gold]"
    )
    (key,) = compiled(text, SET).keys
    assert (key.caller.region, key.caller.tags, key.caller.pinned) == ("eu-west", {"gold"}, True)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (with_terms("when: {tool: true}"), '8: models.fast.targets[1].when.tool: unknown field "tool": did you'),
        (with_terms("when: {min_input: 9, max_input: 8}"), "8: models.fast.targets[1].when: takes no size: min_input"),
        (with_terms("canary: 0"), "8: models.fast.targets[1].canary: must be greater than 0"),
        (with_terms("shadow: 101"), "8: models.fast.targets[1].shadow: must be at most 100"),
        (with_terms("canary: 5, shadow: 5"), "8: models.fast.targets[1].shadow: cannot be said of a canary"),
        (
            with_terms("canary: 60", "\n      - {provider: own, model: o, canary: 50}"),
            "6: models.fast.targets: have canaries of more than 100 percent together",
        ),
        (TEXT.replace("model: m}", "model: m, canary: 5}").replace("model: n}", "model: n, shadow: 5}"),
         "6: models.fast.targets: need one that is neither canary nor shadow"),
        (with_terms("tags: [a b]"), "8: models.fast.targets[1].tags[0]: does not have the form"),
        (TEXT.replace("{per_second: 1}", "{per_second: 1}, shadow: 5"), "11: models.movie.targets[0].shadow: is for"),
        (TEXT.replace("{per_second: 1}", "{per_second: 1}, when: {tools: true}"),
         "11: models.movie.targets[0].when: is for models of kind chat and embedding: say what a video target"),
        (with_terms("region: eu-west-1").replace("models: [fast]", "region: eu-west-2"),
         '13: keys[0].region: unknown region "eu-west-2": did you mean "eu-west-1"?'),
        (with_terms("tags: [gold]").replace("models: [fast]", "tags: [gold, silver]"),
         '13: keys[0].tags[1]: unknown tag "silver": choose one of gold'),
        (TEXT.replace("models: [fast]", "aliases: {a: fst}"), '13: keys[0].aliases.a: unknown model "fst": did you'),
        (TEXT.replace("models: [fast]", "models: [fast], aliases: {a: movie}"), '13: keys[0].aliases.a: is "movie"'),
    ],
)  # fmt: skip
def test_terms_that_cannot_hold_are_named(text: str, wanted: str):
    found = problems(text, SET)
    assert any(problem.startswith(wanted) for problem in found), found
