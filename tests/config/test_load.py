"""Each class of mistake gives its line and field, and all of them are found at once."""

import pytest

from tests.config.samples import problems

SOUND = """\
providers:
  own: {dialect: openai, base_url: https://own.example/v1, key: env:OWN}
models:
  fast:
    targets:
      - {provider: own, model: m}
limits:
  small: [{requests: 5, per: minute}]
keys:
  - {name: a, key: env:A, models: [fast], limits: small}
"""
SET = {"OWN": "own-secret", "A": "key-a"}


@pytest.mark.parametrize(
    ("old", "new", "where", "words"),
    [
        ("provider: own", "provider: owm", "6: models.fast.targets[0].provider", 'unknown provider "owm": did you'),
        ("provider: own", "provider: 3", "6: models.fast.targets[0].provider", "must be text: put it in quotes if"),
        ("provider: own, ", "", "6: models.fast.targets[0].provider", "is missing"),
        ("    targets:", "    polcy: fastest\n    targets:", "5: models.fast.polcy", 'unknown field "polcy": did'),
        ("    targets:", "    policy: fastst\n    targets:", "5: models.fast.policy", 'unknown value "fastst": did'),
        ("    targets:", "    policy: quickly\n    targets:", "5: models.fast.policy", 'unknown value "quickly":'),
        ("    targets:", "    usd_per_second: 1\n    targets:", "4: models.fast", "sets usd_per_second, which only"),
        ("    targets:", "    hedge: true\n    targets:", "4: models.fast", "sets hedge, which needs kind chat and a"),
        ("model: m", "model: m, timeout: {total: 8x}", "6: models.fast.targets[0].timeout.total", "is not a duration:"),
        ("model: m", "model: m, timeout: {total: 0}", "6: models.fast.targets[0].timeout.total", "must be greater"),
        ("model: m", "model: m, weight: 1.5", "6: models.fast.targets[0].weight", "must be a whole number"),
        ("model: m", "model: m, price: {output: 1}", "6: models.fast.targets[0].price", "must be {input, output,"),
        ("model: m", "model: m, price: {input: 1}", "6: models.fast.targets[0].price", "needs `output`; write 0 if"),
        ("model: m", "model: m, price: {per_second: 1}", "6: models.fast.targets[0].price", "a model of kind chat is"),
        ("model: m", "model: m, seconds: [4]", "6: models.fast.targets[0].seconds", "is for models of kind video;"),
        ("model: m", "model: ../m", "6: models.fast.targets[0].model", "does not have the form"),
        ("model: m", "model: a/../m", "6: models.fast.targets[0].model", "may not hold //, /./ or /../, nor end in"),
        ("[{requests: 5, per: minute}]", "[{requests: 5}]", "8: limits.small[0]", "needs `per` (minute, hour, day"),
        ("[{requests: 5, per: minute}]", "[{video_jobs: 5, per: day}]", "8: limits.small[0]", "needs `per` (minute,"),
        ("[{requests: 5, per: minute}]", "[{concurrent: 5, models: [a]}]", "8: limits.small[0]", "names `models`"),
        ("[{requests: 5, per: minute}]", "[{concurrent: 5, scope: team}]", "8: limits.small[0].scope",
         'unknown value'),
        ("[{requests: 5, per: minute}]", "[{concurrent: 5, budget: soft}]", "8: limits.small[0]", "says `budget`"),
        ("[{requests: 5, per: minute}]", "[{per: minute}]", "8: limits.small[0]", "must hold exactly one of"),
        ("[{requests: 5, per: minute}]", "{requests: 5}", "8: limits.small", "must be a list: [..., ...] or lines"),
        ("limits: small", "limits: smal", "10: keys[0].limits", 'unknown limits "smal": did you mean "small"?'),
        ("models: [fast]", "models: [fst]", "10: keys[0].models[0]", 'unknown model "fst": did you mean "fast"?'),
        ("models: [fast]", "models: [own/x, nobody/x]", "10: keys[0].models[1]", 'unknown model "nobody/x": choose'),
        ("key: env:A, ", "", "10: keys[0]", "needs exactly one of `key` (env:NAME or file:/path) and `hash`"),
        ("key: env:A", "key: env:B", "10: keys[0].key", "the environment variable B is not set"),
        ("key: env:A,", "key: env:A, webhook: {url: hooks}, ", "10: keys[0].webhook.url", "must be https://h"),
        ("key: env:A,", "key: env:A, webhook: {url: 'http://h/x'}, ", "10: keys[0].webhook.url", "must be https:"),
        ("key: env:A,", "key: env:A, webhook: {url: 'https://u:p@h'},", "10: keys[0].webhook.url", "must be https"),
        ("key: env:A,", "key: env:A, webhook: {secrets: [x]},", "10: keys[0].webhook.secrets[0]", "must be env:NAME"),
        ("key: env:A,", "key: env:A, webhook: {secrets: [env:A]},", "10: keys[0].webhook.secrets[0]", "must lead to"),
        ("key: env:A,", "key: env:A, webhook: {secrets: [env:B]},", "10: keys[0].webhook.secrets[0]", "the env"),
        ("keys:\n", "defaults: {webhook_networks: [10.0.0.1/8]}\nkeys:\n", "9: defaults.webhook_networks[0]", "is no"),
        ("key: env:A", "hash: sha256:12", "10: keys[0].hash", "does not have the form ^sha256:[0-9a-fA-F]{64}$"),
        ("key: env:OWN", "key: env:B", "2: providers.own.key", "the environment variable B is not set"),
        ("key: env:OWN", "key: file:/no/such/file", "2: providers.own.key", "there is no file /no/such/file"),
        ("key: env:OWN", "key: file:/", "2: providers.own.key", "there is no file /"),
        ("dialect: openai", "dialect: opanai", "2: providers.own.dialect", 'unknown chat dialect "opanai": did you'),
        ("base_url: https://own.example/v1, ", "", "2: providers.own", "needs `base_url`"),
        ("https://own.example", "ftp://own.example", "2: providers.own.base_url", "must be http://host or"),
        ("  own: {", "  own: {headers: {Host: x}, ", "2: providers.own.headers", "may not set `Host`: credentials"),
        ("limits:\n", "limts:\n", "7: limts", 'unknown field "limts": did you mean "limits"?'),
        ("keys:\n", "models: {}\nkeys:\n", "9: models", "is given twice; first on line 3"),
        ("keys:\n", "keys: [\n", "10", "not YAML"),
        ("  fast:\n", "  fast: []\n  other:\n", "4: models.fast", "must be a mapping of names to values; write {}"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_line_and_field(old: str, new: str, where: str, words: str) -> None:
    assert old in SOUND
    found = problems(SOUND.replace(old, new, 1), SET)
    assert any(problem.startswith(f"{where}: {words}") for problem in found), found


def test_one_look_shows_every_mistake() -> None:
    text = SOUND.replace("provider: own", "provider: owm").replace("limits: small", "limits: smal")
    text = text.replace("    targets:", "    polcy: fastest\n    targets:").replace("env:OWN", "env:GONE")
    assert [one.split(":")[1].strip() for one in problems(text, SET)] == [
        "providers.own.key",
        "models.fast.polcy",
        "models.fast.targets[0].provider",
        "keys[0].limits",
    ]


def test_a_mistake_is_not_followed_by_what_it_causes() -> None:
    for old, new in (
        ("dialect: openai", "dialect: 3"),
        ("provider: own", "provider: [own]"),
        ("key: env:OWN", "key: sk-literal"),
        ("key: env:A", "key: sk-literal"),
        ("requests: 5", "requests: many"),
    ):
        assert len(problems(SOUND.replace(old, new, 1), SET)) == 1


def test_places_stay_right_behind_a_part_that_was_left_out() -> None:
    text = SOUND.replace(
        "      - {", "      - {model: only}\n      - {provider: own, model: m, wait: 1}\n      - {"
    )
    text = text.replace("- {name: a", "- {name: 5, key: env:A}\n  - {name: a").replace("small}", "smal}")
    assert [one.partition(": ")[0:3:2] for one in problems(text, SET)] == [
        ("6", "models.fast.targets[0].provider: is missing"),
        ("7", 'models.fast.targets[1].wait: unknown field "wait": did you mean "weight"?'),
        ("12", "keys[0].name: must be text: put it in quotes if it is"),
        ("13", 'keys[1].limits: unknown limits "smal": did you mean "small"?'),
    ]


def test_an_empty_file_is_refused_but_an_empty_section_is_not() -> None:
    assert problems("# nothing yet\n") == ["1: must hold sections: providers, models, keys, ..."]
    assert problems(SOUND + "defaults:\n  retries: {attempts: 0}\n", SET) == [
        "12: defaults.retries.attempts: must be at least 1"
    ]
