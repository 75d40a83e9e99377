"""The plan for those who wait: in turn, no slot twice, the sooner worker, and elsewhere only for a known reason."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.routing.slots import Berth, Option, Turn, Waiting, plan
from tests.routing.test_video import target


def option(url: str, run: float | None) -> Option:
    made = target(url)
    return Option(target=replace(made, target=replace(made.target, base_url=url)), run=run)


def waits(name: str, *options: Option, latest: float | None = None) -> Waiting:
    return Waiting(id=name, options=options, latest=latest)


def where(turn: Turn) -> str:
    return turn.target.target.base_url if turn.target else ""


SECONDS = st.none() | st.floats(0.0, 1000.0)
URLS = ("a", "b", "c")
BERTHS = st.dictionaries(
    st.sampled_from(URLS), st.builds(Berth, slots=st.integers(0, 2), free_in=SECONDS), max_size=3
)
LINES = st.lists(
    st.tuples(st.lists(st.builds(option, st.sampled_from(URLS), SECONDS), max_size=3), SECONDS), max_size=8
).map(lambda made: [waits(str(at), *options, latest=latest) for at, (options, latest) in enumerate(made)])


@given(LINES, BERTHS)
def test_whatever_waits_has_a_turn_and_no_slot_is_given_twice(
    line: list[Waiting], berths: dict[str, Berth]
) -> None:
    turns = plan(line, berths)
    assert list(turns) == [one.id for one in line]
    for url, berth in berths.items():
        begun = [turn for turn in turns.values() if where(turn) == url and turn.now and not turn.spill]
        assert len(begun) <= berth.slots
    for one in line:
        turn = turns[one.id]
        assert turn.target is None or any(turn.target is each.target for each in one.options)
        assert where(turn) in berths or turn.target is None
        if turn.spill:
            assert one.latest is not None
            assert turn.target is None or turn.eta is None or turn.eta > one.latest


@given(LINES, BERTHS)
def test_whoever_comes_later_changes_nothing_for_those_before(
    line: list[Waiting], berths: dict[str, Berth]
) -> None:
    whole = plan(line, berths)
    for count in range(len(line)):
        assert plan(line[:count], berths) == {one.id: whole[one.id] for one in line[:count]}


def test_a_slow_worker_gets_what_the_quick_one_would_finish_later() -> None:
    line = [waits(str(number), option("quick", 10.0), option("slow", 35.0)) for number in range(6)]
    turns = plan(line, {"quick": Berth(slots=1, free_in=0.0), "slow": Berth(slots=1, free_in=0.0)})
    assert [where(turn) for turn in turns.values()] == ["quick", "quick", "quick", "slow", "quick", "quick"]
    assert [turn.eta for turn in turns.values()] == [10, 20, 30, 35, 40, 50]
    assert [turn.now for turn in turns.values()] == [True, False, False, True, False, False]


def test_only_a_known_eta_sends_anybody_elsewhere() -> None:
    one = waits("one", option("a", 10.0), latest=15.0)
    assert not plan([one], {"a": Berth(slots=0, free_in=None)})["one"].spill
    assert not plan([one], {"a": Berth(slots=0, free_in=5.0)})["one"].spill
    assert plan([one], {"a": Berth(slots=0, free_in=6.0)})["one"].spill
    unknown = waits("one", option("a", None), latest=15.0)
    assert not plan([unknown], {"a": Berth(slots=0, free_in=14.0)})["one"].spill
    assert plan([unknown], {"a": Berth(slots=0, free_in=16.0)})["one"].spill


def test_when_no_worker_answers_those_who_can_go_elsewhere_do() -> None:
    assert plan([waits("one", option("a", 1.0), latest=9.0)], {})["one"] == Turn(spill=True)
    assert plan([waits("one", option("a", 1.0))], {})["one"] == Turn()


def test_whoever_goes_elsewhere_takes_nobodys_place() -> None:
    line = [waits("one", option("a", 10.0), latest=15.0), waits("two", option("a", 10.0))]
    turns = plan(line, {"a": Berth(slots=0, free_in=20.0)})
    assert (turns["one"].spill, turns["two"].eta) == (True, 30.0)
