import hashlib

import pytest
from msgspec.structs import replace

from gateway.config.catalogue import VideoRow, catalogue, data_file
from gateway.config.compile import Source, compile_config
from gateway.config.snapshot import (
    MADE_ROUTES,
    NANO,
    HealthRule,
    LimitRule,
    Price,
    Retries,
    Snapshot,
    Timeouts,
)
from providers.types import Quirks, Secret, VideoLimits
from tests.config.samples import NOW, VENDORS, compiled, problems

ALPHA = "providers: {alpha: {key: env:K}}\n"


def shipped(environment: dict[str, str]) -> Snapshot:
    path = data_file("fairlead.yaml")
    text = path.read_text(encoding="utf-8")
    return compile_config(Source(text, str(path), {"FAIRLEAD_DEMO_KEY": "demo-key", **environment}, NOW))


def test_the_shipped_example_compiles_without_any_account() -> None:
    snapshot = shipped({})
    assert {name: route.kind for name, route in snapshot.routes.items()} == {
        "demo-chat": "chat",
        "demo-embedding": "embedding",
        "sora-2": "video",
        "sora-2-pro": "video",
    }
    assert all(target.price for route in snapshot.routes.values() for target in route.targets)
    assert snapshot.routes["sora-2-pro"].targets[0].price == Price(per_second=12_000_000, gpu_second=500_000)
    (key,) = snapshot.keys
    assert key.sha256 == hashlib.sha256(b"demo-key").digest()
    assert key.caller.models is None
    assert (
        LimitRule(dimension="dollars", limit=50 * NANO, per="day", on_store_error="closed")
        in key.caller.limits
    )
    assert LimitRule(dimension="video_seconds", limit=600_000, per="day") in key.caller.limits
    assert LimitRule(dimension="concurrent", limit=20) in key.caller.limits


def test_the_same_text_has_the_same_etag_and_another_text_another() -> None:
    assert compiled("models: {}").etag == compiled("models: {}").etag != compiled("models: {} ").etag


def test_a_key_in_the_environment_makes_a_vendors_models_routable() -> None:
    snapshot = shipped({"ANTHROPIC_API_KEY": "k"})
    assert snapshot.providers["anthropic"].found_in == "ANTHROPIC_API_KEY"
    route = snapshot.resolve("anthropic/claude-haiku-4-5")
    assert route is not None
    (target,) = route.targets
    assert target.id == "anthropic/claude-haiku-4-5"
    assert target.target.dialect == "anthropic"
    assert target.target.base_url == "https://api.anthropic.com"
    assert target.target.credential == Secret("k")
    assert target.price is not None
    assert target.price.input
    assert target.context_window == 200_000
    assert snapshot.resolve("openai/gpt-4o") is None


def test_no_vendor_is_called_that_nobody_gave_a_key() -> None:
    assert set(shipped({}).providers) == {"demo", "studio"}
    assert set(shipped({"ANTHROPIC_API_KEY": "  "}).providers) == {"demo", "studio"}


def test_the_file_wins_over_the_environment() -> None:
    snapshot = compiled(ALPHA, {"K": "from-file", "ALPHA_KEY": "from-environment"})
    assert snapshot.providers["alpha"].credential == Secret("from-file")
    assert snapshot.providers["alpha"].found_in == ""


def test_a_known_vendor_needs_no_entry_and_no_key_in_the_file() -> None:
    text = "models: {m: {targets: [{provider: alpha, model: big-1}]}}"
    target = compiled(text, {"ALPHA_TOKEN": "t"}).routes["m"].targets[0]
    assert target.target.base_url == "https://alpha.example/v1"
    assert target.target.quirks == Quirks(drop=("logprobs",), roles={"developer": "system"})
    (problem,) = problems(text)
    assert problem.startswith(
        '1: models.m.targets[0].provider: provider "alpha" has no key: set ALPHA_KEY or'
    )
    listed = compiled("providers: {alpha: {}}", {"ALPHA_TOKEN": "t"})
    assert listed.providers["alpha"].credential == Secret("t")
    assert compiled("providers: {home: {}}").providers["home"].credential is None


def test_what_the_file_says_of_a_vendor_replaces_the_catalogue_field_by_field() -> None:
    text = "providers: {alpha: {key: env:K, base_url: https://proxy.example/v1, quirks: {drop: [n]}}}"
    row = compiled(text, {"K": "k"}).providers["alpha"]
    assert row.base_url == "https://proxy.example/v1"
    assert row.quirks is not None
    assert list(row.quirks.drop) == ["n"]
    assert row.quirks.roles == {"developer": "system"}


def test_a_vendor_whose_address_has_open_parts_must_be_given_one() -> None:
    assert problems("providers: {beta: {key: env:K}}", {"K": "k"}) == [
        "1: providers.beta: needs `base_url`, with its own parts filled in: https://{region}.beta.example"
    ]
    assert "beta" not in compiled("models: {}", {"BETA_KEY": "k"}).providers
    row = compiled(
        "providers: {beta: {key: env:K, base_url: https://eu.beta.example}}", {"K": "k"}
    ).providers["beta"]
    assert row.dialect == "anthropic"


def test_a_provider_at_a_vendors_address_has_the_vendors_prices() -> None:
    text = """
providers:
  second: {dialect: openai, base_url: https://alpha.example/v1, key: env:K}
  europe: {dialect: anthropic, base_url: https://eu.beta.example, key: env:K}
"""
    snapshot = compiled(text, {"K": "k"})
    for model, price in (("second/big-1", 2_500_000_000), ("europe/b", NANO)):
        route = snapshot.resolve(model)
        assert route is not None
        assert route.targets[0].price is not None
        assert route.targets[0].price.input == price


def test_a_route_on_demand_is_made_once_and_the_memory_is_bounded() -> None:
    snapshot = compiled(ALPHA, {"K": "k"})
    route = snapshot.resolve("alpha/vendor/model")
    assert route is not None
    assert route.targets[0].target.model == "vendor/model"
    assert snapshot.resolve("alpha/vendor/model") is route
    for number in range(MADE_ROUTES + 10):
        snapshot.resolve(f"alpha/{number}")
    assert len(snapshot.made) == MADE_ROUTES


def test_what_a_provider_is_for_decides_which_calls_reach_it() -> None:
    text = "providers: {alpha: {key: env:K}, film: {dialect: openai, kind: video, base_url: http://h/v1}}\n"
    snapshot = compiled(text + "models: {m: {targets: [{provider: alpha, model: m}]}}", {"K": "k"})
    served = {"alpha/x": ["chat", "embedding"], "film/x": ["video"], "m": ["chat"]}
    for model in (*served, "nobody/x", "alpha", "alpha/", "alpha/../x", "alpha/a b"):
        kinds = [kind for kind in ("chat", "embedding", "video") if snapshot.resolve(model, kind)]
        assert kinds == served.get(model, [])
    video = "models: {v: {kind: video, targets: [{provider: alpha, model: m}]}}"
    assert "is for chat" in problems(text + video, {"K": "k"})[0]
    embedding = "models: {v: {kind: embedding, targets: [{provider: a, model: m}]}}"
    own = "providers: {a: {dialect: anthropic, base_url: https://a.example}}\n"
    assert "its dialect anthropic has none" in problems(own + embedding)[0]


def test_clocks_and_rules_come_from_the_nearest_place_that_says_something() -> None:
    text = (
        ALPHA
        + """
models:
  m:
    timeout: {headers: 5s}
    retries: {attempts: 2}
    targets:
      - {provider: alpha, model: a}
      - {provider: alpha, model: b, timeout: {first_token: 500ms, total: 2m}, health: {rest: 1}}
defaults: {timeout: {connect: 1.5, headers: 9s}, health: {failures: 3}, retries: {budget: 0.1}}
"""
    )
    route = compiled(text, {"K": "k"}).routes["m"]
    assert route.timeouts == Timeouts(connect=1.5, headers=5.0)
    assert route.retries == Retries(attempts=2, budget=0.1)
    first, second = route.targets
    assert first.timeouts == route.timeouts
    assert first.health == HealthRule(failures=3)
    assert second.timeouts == Timeouts(connect=1.5, headers=5.0, first_token=0.5, total=120.0)
    assert second.health == HealthRule(failures=3, rest=1.0)


def test_what_a_model_can_do_comes_from_the_target_or_else_the_catalogue() -> None:
    text = """
providers: {alpha: {key: env:K}, film: {dialect: openai, kind: video, base_url: https://alpha.example/v1}}
models:
  m: {targets: [{provider: alpha, model: big-1}, {provider: alpha, model: big-2, max_output: 7}]}
  v:
    kind: video
    targets: [{provider: film, model: film-1}, {provider: film, model: film-2, seconds: [5], inputs: []}]
"""
    routes = compiled(text, {"K": "k"}).routes
    assert [(one.context_window, one.max_output) for one in routes["m"].targets] == [
        (900_000, 5000),
        (900_000, 7),
    ]
    assert [one.target.video for one in routes["v"].targets] == [
        VideoLimits(seconds=[4, 8], sizes=["1280x720"]),
        VideoLimits(seconds=[5], sizes=["1280x720"], inputs=[]),
    ]
    assert [one.price for one in routes["v"].targets] == [Price(per_second=125_000_000), None]


def test_a_vendor_may_be_called_for_chat_and_for_video_with_one_key() -> None:
    text = """
models:
  v: {kind: video, targets: [{provider: both, model: film}]}
  c: {targets: [{provider: both, model: words}]}
"""
    snapshot = compiled(text, {"BOTH_KEY": "k"})
    [film], [words] = snapshot.routes["v"].targets, snapshot.routes["c"].targets
    assert (film.id, film.target.base_url) == ("both/film", "https://both.example/video")
    assert words.target.base_url == "https://both.example/v1"
    assert film.target.credential == words.target.credential == Secret("k")
    made = snapshot.resolve("both/another-film", "video")
    assert made is not None
    assert made.targets[0].target.base_url == "https://both.example/video"
    alone = "providers: {both: {kind: video, key: env:K}}" + text.partition("  c:")[0]
    listed = compiled(alone, {"K": "k"}).routes["v"].targets[0]
    assert listed.target.base_url == "https://both.example/video"
    moved = "providers: {both: {base_url: https://own.example/v1, key: env:K}}" + text
    assert 'provider "both" is for chat' in problems(moved, {"K": "k"})[0]


@pytest.mark.parametrize(("day", "said"), [("2026-12-15", "will be"), ("2026-11-17", "has been")])
def test_a_model_that_is_shut_down_is_warned_of(day: str, said: str) -> None:
    rows = [VideoRow(model="film-1", retires_at=day), VideoRow(model="film-2", retires_at="2027-06-01")]
    data = replace(VENDORS, video={"openai": rows})
    text = """
providers: {up: {dialect: openai, kind: video, base_url: https://up.example/v1}}
models: {v: {kind: video, targets: [{provider: up, model: film-1}, {provider: up, model: film-2}]}}
"""
    snapshot = compile_config(Source(text, "f", {}, NOW), data)
    assert snapshot.warnings == [f'model "v": up/film-1 {said} shut down by its provider on {day}']


def test_limits_may_be_named_or_written_with_the_key() -> None:
    text = """
limits: {small: [{requests: 5, per: minute}]}
keys:
  - {name: a, hash: "sha256:HASH", limits: small}
  - {name: b, key: env:B, limits: [{dollars: 0.01, per: month}, {video_seconds: 2.5, per: hour}], project: p}
  - {name: c, key: env:C, models: [alpha/x]}
""".replace("HASH", "AB" * 32)
    a, b, c = compiled(text, {"B": "b", "C": "c"}).keys
    assert a.sha256 == b"\xab" * 32
    assert a.caller.limits == (LimitRule(dimension="requests", limit=5, per="minute"),)
    assert b.caller.limits == (
        LimitRule(dimension="dollars", limit=10_000_000, per="month", on_store_error="closed"),
        LimitRule(dimension="video_seconds", limit=2500, per="hour"),
    )
    assert b.caller.project == "p"
    assert c.caller.models == {"alpha/x"}
    assert c.caller.limits == ()


def test_without_the_store_hard_money_is_not_spent_and_each_limit_may_say_otherwise() -> None:
    text = """
keys:
  - name: a
    key: env:A
    limits:
      - {dollars: 1, per: hour}
      - {dollars: 1, per: day, budget: hard, on_store_error: local}
      - {dollars: 1, per: month, budget: soft}
      - {requests: 5, per: minute}
      - {requests: 5, per: hour, on_store_error: closed}
"""
    (key,) = compiled(text, {"A": "a"}).keys
    assert [rule.on_store_error for rule in key.caller.limits] == ["closed", "local", "", "", "closed"]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("{name: a, key: env:A}, {name: a, key: env:B}", '1: keys[1].name: a second key is called "a"'),
        ("{name: a, key: env:A}, {name: b, key: env:A}", '1: keys[1]: is the same key as "a"'),
        (
            "{name: a, key: env:A, limits: [{requests: 1, per: day}, {requests: 2, per: day}]}",
            "1: keys[0].limits[1]: limits requests per day a second time",
        ),
        (
            "{name: a, key: env:A, limits: [{concurrent: 1, scope: project}]}",
            "1: keys[0].limits: count by project, and this key has none: set `project` on the key",
        ),
        (
            "{name: a, key: env:A, limits: [{concurrent: 1, scope: model, models: [nune]}]}",
            '1: keys[0].limits[0].models[0]: unknown model "nune": none is defined',
        ),
    ],
)
def test_keys_that_contradict_each_other_are_refused(keys: str, expected: str) -> None:
    assert problems(f"keys: [{keys}]", {"A": "a", "B": "b"}) == [expected]


SECRETS = {"NEW": "whsec_" + "QUFB" * 8, "OLD": "whsec_" + "QkJC" * 21, "K": "k"}


def test_a_key_has_a_webhook_and_two_secrets_while_they_change() -> None:
    text = "keys: [{name: a, key: env:K, webhook: {url: 'https://h.example/x/?y=1', secrets: [env:NEW, env:OLD]}}]"
    snapshot = compiled(text, SECRETS)
    [row] = snapshot.keys
    assert row.caller.hook.url == "https://h.example/x/?y=1"
    assert [one.reveal() for one in row.caller.hook.secrets] == [SECRETS["NEW"], SECRETS["OLD"]]
    assert set(row.caller.hook.secrets) <= set(snapshot.secrets)
    assert SECRETS["NEW"] not in repr(snapshot)


def test_links_lead_through_the_address_that_clients_know() -> None:
    assert (
        compiled("defaults: {public_url: 'https://ai.example/gateway/'}").public_url
        == "https://ai.example/gateway"
    )
    assert compiled("models: {}").public_url == ""


def test_plain_http_is_for_networks_of_the_house() -> None:
    text = "defaults: {webhook_networks: [10.0.0.0/8]}\nkeys: [{name: a, key: env:K, webhook: {url: 'http://h/x'}}]"
    snapshot = compiled(text, SECRETS)
    assert snapshot.webhook_networks == ["10.0.0.0/8"]
    assert snapshot.keys[0].caller.hook.url == "http://h/x"


@pytest.mark.parametrize(
    "secret", ["whsec_", "whsec_QUFB", "whsec_" + "QUFB" * 22, "QUFB" * 8, "whsec_" + "?" * 40]
)
def test_a_weak_secret_signs_nothing(secret: str) -> None:
    text = "keys: [{name: a, key: env:K, webhook: {secrets: [env:S]}}]"
    [problem] = problems(text, {"K": "k", "S": secret})
    assert "must lead to whsec_ and the base64 of 24 to 64 random bytes" in problem
    assert "QUFB" not in problem


def test_every_vendor_of_the_release_can_be_configured_or_found() -> None:
    vendors = catalogue().vendors
    environment = {name: "k" for vendor in vendors.values() for name in vendor.key}
    found = compile_config(Source("models: {}", "f", environment, NOW)).providers
    assert set(found) == {name for name, vendor in vendors.items() if vendor.key and vendor.complete}
    listed = "".join(
        f"  {name}: {{{'' if vendor.complete else 'base_url: https://own.example/v1'}}}\n"
        for name, vendor in vendors.items()
    )
    assert set(compile_config(Source(f"providers:\n{listed}", "f", environment, NOW)).providers) == set(
        vendors
    )


def test_who_takes_the_beginning_of_an_answer_is_known_of_models_and_can_be_said() -> None:
    def prefill(model: str, said: str = "") -> bool:
        environment = {"ANTHROPIC_API_KEY": "k"}
        target = f"{{provider: anthropic, model: {model}{said}}}"
        text = f"models: {{m: {{on_cut: continue, targets: [{target}]}}}}"
        snapshot = compile_config(Source(text, "f", environment, NOW))
        assert snapshot.routes["m"].on_cut == "continue"
        return snapshot.routes["m"].targets[0].prefill

    assert prefill("claude-haiku-4-5-20251001")
    assert prefill("claude-opus-4-5")
    assert not prefill("claude-opus-4-6")
    assert not prefill("claude-sonnet-5-5")
    assert prefill("claude-sonnet-5-5", ", prefill: true")
    assert not prefill("claude-haiku-4-5", ", prefill: false")


def test_a_broken_stream_ends_with_an_error_unless_the_model_says_otherwise() -> None:
    text = ALPHA + "models: {m: {targets: [{provider: alpha, model: big-1}]}}"
    assert compiled(text, {"K": "k"}).routes["m"].on_cut == "error"


@pytest.mark.parametrize(
    ("model", "place"),
    [
        ("{kind: embedding, on_cut: continue, targets: [{provider: alpha, model: e}]}", "on_cut"),
        ("{kind: embedding, targets: [{provider: alpha, model: e, prefill: true}]}", "targets[0].prefill"),
    ],
)
def test_what_streams_of_text_may_be_told_is_refused_elsewhere(model: str, place: str) -> None:
    (problem,) = problems(ALPHA + f"models: {{m: {model}}}", {"K": "k"})
    assert f"models.m.{place}" in problem
    assert "is for models of kind chat; this one is embedding" in problem


def test_a_model_of_fal_needs_the_names_of_its_input() -> None:
    text = """
providers: {fal: {dialect: fal, kind: video, base_url: https://queue.fal.run, key: env:K}}
models: {v: {kind: video, targets: [{provider: fal, model: acme/film}]}}
"""
    [problem] = problems(text, {"K": "k"})
    assert "models.v.targets[0].input_names" in problem
    assert "acme/film" in problem
    named = text.replace("acme/film", "acme/film, input_names: {prompt: text, seed: seed}")
    [one] = compiled(named, {"K": "k"}).routes["v"].targets
    assert one.target.video.wire == {"input": {"prompt": "text", "seed": "seed"}}
    assert (one.target.video.fields, one.target.video.audio) == (["seed"], "never")
