"""The demo model's clips are what their captions say, and a step of its training changes what it should."""

from pathlib import Path

import numpy as np
import pytest

from training.clips import COLOURS, MOVES, Clip, draw, words


def middles(clip: Clip) -> np.ndarray:
    """Column and row of the shape's middle in every frame."""
    ground = clip.frames[:, :, :1, :1]
    apart = np.abs(clip.frames - ground).sum(0)
    rows, columns = np.indices(apart.shape[1:])
    return np.stack([(apart * axis).sum((1, 2)) / apart.sum((1, 2)) for axis in (columns, rows)], 1)


@pytest.mark.parametrize("number", range(24))
def test_a_clip_is_what_its_caption_says_and_always_the_same(number: int) -> None:
    clip, again = draw(number, 9, 64, 48), draw(number, 9, 64, 48)
    assert clip.caption == again.caption
    assert np.array_equal(clip.frames, again.frames)
    assert clip.frames.shape == (3, 9, 48, 64)
    assert clip.frames.min() >= -1
    assert clip.frames.max() <= 1
    _, colour, _, *move, _, ground = clip.caption.split()
    way = middles(clip)
    assert np.sign((way[-1] - way[0]).round(3)).tolist() == list(MOVES[" ".join(move)])
    seen = (clip.frames[:, 4].reshape(3, -1).T + 1) * 127.5
    column, row = way[4].round().astype(int)
    assert np.allclose(seen[0], COLOURS[ground], atol=1)
    assert np.allclose(seen[row * 64 + column], COLOURS[colour], atol=1)
    assert set(clip.caption.split()) <= set(words())


@pytest.mark.filterwarnings("ignore")  # of libraries that we do not keep
def test_a_step_trains_its_part_and_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    import torch  # noqa: PLC0415 - takes seconds

    from training.demo import Plan, Trainer  # noqa: PLC0415

    plan = Plan(vae_steps=1, steps=2, batch=1, width=32, height=32, frames=9)
    trainer = Trainer(plan, "cpu")
    assert 3e6 < trainer.size < 7e6
    trainer.train(lambda _step, _loss: None, lambda: None)
    half = Trainer(plan, "cpu")
    before = half.vae.decoder.conv_out.conv.weight.clone()
    half.advance()
    assert not torch.equal(before, half.vae.decoder.conv_out.conv.weight)
    torch.save(half.state(), tmp_path / "state.pt")
    later = Trainer(plan, "cpu")
    later.resume(torch.load(tmp_path / "state.pt", weights_only=True))
    later.train(lambda _step, _loss: None, lambda: None)
    assert later.step == trainer.step == 3
    for one, other in zip(trainer.transformer.parameters(), later.transformer.parameters(), strict=True):
        assert torch.allclose(one, other)
