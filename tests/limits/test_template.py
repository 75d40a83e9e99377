"""Who shares a limit: one counter for a key, a user, a project, an organisation, or a key's use of a model."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.config.snapshot import NANO, Caller, LimitRule
from gateway.limits.memory import MemoryLimiter
from gateway.limits.rules import Dimension
from gateway.limits.template import BUCKETS, Costs, Template, whose
from tests.limits.asked import fresh

NOW = 1_795_176_000.0
SCOPES = ("key", "user", "project", "organisation", "model")
DIMENSIONS = ("requests", "tokens", "dollars", "concurrent", "video_seconds", "video_jobs")
EVERYTHING = Costs(tokens=5, nano_dollars=7, probably=3, video_ms=9, video_jobs=1)
NAMES = st.sampled_from(("", "a", "b", "a:requests:minute", "}{", "{a}", "ä/ö"))
RULES = st.builds(
    lambda dimension, scope, per, limit: LimitRule(
        dimension=dimension,
        scope=scope,
        per="" if dimension in ("concurrent", "video_jobs") else per,
        limit=limit,
    ),
    st.sampled_from(DIMENSIONS),
    st.sampled_from(SCOPES),
    st.sampled_from(sorted(BUCKETS)),
    st.integers(1, 2**50),
)


def caller(
    name: str, *rules: LimitRule, user: str = "", project: str = "", organisation: str = "acme"
) -> Caller:
    return Caller(id=name, name=name, limits=rules, user=user, project=project, organisation=organisation)


def keys(who: Caller, model: str = "fast") -> list[str]:
    return [dimension.key for dimension in Template(who, model).dimensions(EVERYTHING, NOW)]


def requests(scope: str, limit: int = 3) -> LimitRule:
    return LimitRule(dimension="requests", limit=limit, per="minute", scope=scope)


def test_each_scope_has_a_counter_of_its_own() -> None:
    who = caller("k", *map(requests, SCOPES), user="ann", project="p:1")
    assert keys(who) == [
        "gw:{acme}:w:key:k:requests:minute",
        "gw:{acme}:w:user:ann:requests:minute",
        "gw:{acme}:w:project:p%3A1:requests:minute",
        "gw:{acme}:w:organisation:acme:requests:minute",
        "gw:{acme}:w:model:k:fast:requests:minute",
    ]


def test_keys_of_one_user_without_an_organisation_meet_in_one_place() -> None:
    one, other = (caller(name, requests("user"), user="ann", organisation="") for name in "ab")
    assert keys(one) == keys(other) == ["gw:{-}:w:user:ann:requests:minute"]


@given(st.lists(RULES, min_size=1, max_size=12), NAMES, NAMES, NAMES)
def test_whatever_the_limits_all_keys_lie_in_one_slot_and_each_counts_one_thing(
    rules: list[LimitRule], user: str, project: str, organisation: str
) -> None:
    found = keys(caller("k", *rules, user=user, project=project, organisation=organisation))
    assert len(found) == len(set(found)) == len({(rule.dimension, rule.per, rule.scope) for rule in rules})
    assert len({key.split("}")[0] for key in found}) == 1
    assert all(key.index("{") + 1 < key.index("}") for key in found), "an empty place is none"


def test_a_limit_of_some_models_is_for_those_alone_and_the_tighter_one_holds() -> None:
    general = requests("model", 9)
    special = LimitRule(
        dimension="requests", limit=2, per="minute", scope="model", models=frozenset(("dear", "deep"))
    )
    who = caller("k", general, special)
    limits = {
        model: [d.limit for d in Template(who, model).dimensions(Costs(), NOW)] for model in ("fast", "dear")
    }
    assert limits == {"fast": [9], "dear": [2]}
    assert keys(caller("k", special), "fast") == []


def test_a_soft_budget_holds_what_is_probable_a_hard_one_the_most() -> None:
    hard = LimitRule(dimension="dollars", limit=NANO, per="month")
    soft = LimitRule(dimension="dollars", limit=NANO, per="day", soft=True)
    made = Template(caller("k", hard, soft), "fast").dimensions(EVERYTHING, NOW)
    assert [(d.per, d.cost) for d in made if d.name == "dollars"] == [("month", 7), ("day", 3)]


def test_what_a_limit_says_of_a_store_that_is_away_goes_with_it() -> None:
    said = {"requests": "open", "dollars": "closed", "tokens": ""}
    rules = [
        LimitRule(dimension=name, limit=NANO, per="day", on_store_error=mode) for name, mode in said.items()
    ]
    made = Template(caller("k", *rules), "fast").dimensions(EVERYTHING, NOW)
    assert {dimension.name: dimension.on_store_error for dimension in made} == said


def test_a_budget_is_read_from_the_charges_of_those_who_share_it() -> None:
    who = caller("k", user="ann", project="p")
    assert {scope: whose(who, "fast", scope) for scope in SCOPES} == {
        "key": {"caller": "k"},
        "user": {"organisation": "acme", "user": "ann"},
        "project": {"organisation": "acme", "project": "p"},
        "organisation": {"organisation": "acme"},
        "model": {"caller": "k", "model": "fast"},
    }


async def test_two_keys_of_a_project_cannot_use_more_than_its_limit_together() -> None:
    limiter, admitted = MemoryLimiter(), 0
    both = [caller(name, requests("project", 5), requests("key", 4), project="p") for name in "ab"]
    for number in range(20):
        asked: list[Dimension] = [*Template(both[number % 2], "fast").dimensions(Costs(), NOW)]
        admitted += (await limiter.acquire(fresh("lease"), asked)).allowed
    assert admitted == 5
