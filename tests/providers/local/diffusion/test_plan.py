"""Frames and sizes: whatever is ordered can be cut out of what the model is asked for."""

from hypothesis import given
from hypothesis import strategies as st

from providers.local.diffusion.plan import Grid, Segment, clip_down, clip_up, round_up

GRIDS = st.builds(
    Grid,
    stride=st.integers(1, 12),
    multiple=st.sampled_from((16, 32)),
    longest=st.integers(1, 200),
    tail=st.integers(1, 33),
)


@given(st.integers(1, 5000), st.integers(1, 64))
def test_an_edge_grows_to_the_next_multiple(edge: int, multiple: int) -> None:
    grown = round_up(edge, multiple)
    assert grown % multiple == 0
    assert edge <= grown < edge + multiple


@given(st.integers(1, 500), st.integers(1, 12))
def test_a_clip_has_a_frame_more_than_whole_strides(frames: int, stride: int) -> None:
    assert clip_down(frames, stride) <= frames <= clip_up(frames, stride)
    assert clip_up(frames, stride) - clip_down(frames, stride) in (0, stride)
    assert clip_up(frames, stride) % stride == 1 % stride


@given(GRIDS, st.integers(1, 600), st.integers(0, 300))
def test_the_segments_make_every_wanted_frame_once(grid: Grid, wanted: int, there: int) -> None:
    segments = grid.segments(wanted, there)
    assert sum(segment.keep for segment in segments) == wanted
    for number, segment in enumerate(segments):
        assert segment.frames % grid.stride == 1 % grid.stride
        assert segment.keep >= 1
        assert segment.overlap + segment.keep <= segment.frames
        assert (segment.overlap > 0) == (number > 0 or there > 0)
        assert segment.overlap <= grid.tail


def test_five_seconds_of_wan_are_one_call_and_twelve_are_three() -> None:
    wan = Grid(stride=4, multiple=16, longest=81, tail=1)
    assert wan.segments(80) == [Segment(81, 0, 80)]
    assert wan.segments(192) == [Segment(81, 0, 81), Segment(81, 1, 80), Segment(33, 1, 31)]


def test_ltx_goes_on_from_the_last_seventeen_frames_or_from_what_there_is() -> None:
    ltx = Grid(stride=8, multiple=32, longest=161, tail=17)
    assert ltx.segments(48, 48) == [Segment(65, 17, 48)]
    assert ltx.segments(24, 12) == [Segment(33, 9, 24)]


@given(GRIDS, st.integers(1, 900))
def test_windows_cover_a_video_once(grid: Grid, count: int) -> None:
    windows = grid.windows(count)
    assert sum(windows) == count
    assert all(0 < clip_up(window, grid.stride) <= max(grid.longest, 1) for window in windows)
