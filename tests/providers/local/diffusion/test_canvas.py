"""Pictures on a canvas whose edges the model can do."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from providers.local.diffusion.canvas import Canvas


@settings(max_examples=25)
@given(st.integers(2, 90), st.integers(2, 90), st.sampled_from((16, 32)))
def test_what_is_put_in_comes_out_pixel_by_pixel(width: int, height: int, multiple: int) -> None:
    canvas = Canvas.of(width, height, multiple)
    assert (canvas.width, canvas.height) == (width + width % 2, height + height % 2)
    assert canvas.full_width % multiple == canvas.full_height % multiple == 0
    noise = np.random.default_rng(1).integers(0, 256, (canvas.height, canvas.width, 3), np.uint8)
    full = np.asarray(canvas.put(Image.fromarray(noise)))
    assert full.shape == (canvas.full_height, canvas.full_width, 3)
    assert np.array_equal(canvas.cut(full[None])[0], noise)


def test_a_picture_of_another_shape_covers_the_ordered_one() -> None:
    full = np.asarray(Canvas.of(64, 32, 32).put(Image.new("RGB", (10, 500), "red")))
    assert (full == (255, 0, 0)).all()


def test_a_model_that_chooses_its_own_size_is_fitted() -> None:
    assert Canvas.of(70, 50, 32).full(np.zeros((3, 16, 48, 3), np.uint8)).shape == (3, 64, 96, 3)
