"""Frames and sizes, as whole numbers: what a model is asked for so that what was ordered can be cut out of it.

A video model makes `k * stride + 1` frames whose edges are multiples of some number, and was trained on clips
of a certain length. Whatever does not fit is rounded up and trimmed; what is longer is made in segments, each
of which begins with the end of the one before.
"""

from collections.abc import Sequence

from msgspec import Struct


class Segment(Struct, frozen=True):
    """One call of the model: makes `frames`, the first `overlap` of which repeat what there is; `keep` are new."""

    frames: int
    overlap: int
    keep: int


def round_up(edge: int, multiple: int) -> int:
    """The smallest multiple that is not less than `edge`."""
    return -(-edge // multiple) * multiple


def clip_up(frames: int, stride: int) -> int:
    """The shortest clip a model makes that has `frames` frames; at least one."""
    return round_up(max(frames, 1) - 1, stride) + 1


def clip_down(frames: int, stride: int) -> int:
    """The longest clip a model makes that has no more than `frames` frames, which must be one or more."""
    return (frames - 1) // stride * stride + 1


class Grid(Struct, frozen=True, kw_only=True):
    """What a model's clips look like: frames per latent frame, edges in pixels, longest clip, frames to go on from."""

    stride: int
    multiple: int
    longest: int
    tail: int

    def segments(self, wanted: int, given: int = 0) -> Sequence[Segment]:
        """The calls that make `wanted` new frames behind `given` ones."""
        longest = max(clip_down(self.longest, self.stride), clip_up(self.tail + 1, self.stride))
        done, found = 0, list[Segment]()
        while done < wanted:
            there = given + done
            overlap = clip_down(min(self.tail, there), self.stride) if there else 0
            frames = min(clip_up(wanted - done + overlap, self.stride), longest)
            keep = min(frames - overlap, wanted - done)
            found.append(Segment(frames, overlap, keep))
            done += keep
        return found

    def windows(self, count: int) -> Sequence[int]:
        """How many frames of a video are drawn over at a time, until all `count` are."""
        longest = clip_down(self.longest, self.stride)
        return [min(longest, count - start) for start in range(0, count, longest)]
