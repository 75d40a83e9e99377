"""The prompt a model sees: the client's words, then what a camera movement and a style stand for."""

from collections.abc import Mapping

CAMERA_MOVEMENTS: Mapping[str, str] = {
    "static": "static shot, the camera does not move",
    "pan_left": "the camera pans slowly to the left",
    "pan_right": "the camera pans slowly to the right",
    "tilt_up": "the camera tilts slowly upwards",
    "tilt_down": "the camera tilts slowly downwards",
    "zoom_in": "the camera zooms in slowly",
    "zoom_out": "the camera zooms out slowly",
    "dolly_in": "the camera moves slowly towards the subject",
    "dolly_out": "the camera moves slowly away from the subject",
    "orbit_left": "the camera circles the subject to the left",
    "orbit_right": "the camera circles the subject to the right",
    "tracking_shot": "tracking shot, the camera follows the subject",
    "handheld": "handheld camera with a slight shake",
    "aerial": "aerial shot from high above",
}
STYLE_PRESETS: Mapping[str, str] = {
    "cinematic": "cinematic, shallow depth of field, soft contrast",
    "anime": "anime, clean lines, flat vivid colours",
    "noir": "film noir, high contrast black and white, hard shadows",
    "documentary": "documentary, natural light, observational camera",
    "vintage": "vintage film, faded colours, visible grain",
    "claymation": "claymation, visible fingerprints, stop motion",
    "watercolor": "watercolour painting, soft edges, paper texture",
    "cyberpunk": "cyberpunk, neon light, rain and haze",
    "pixel_art": "pixel art, limited palette",
    "3d_animation": "3D animation, soft global light",
}


def positive(prompt: str, *phrases: str | None) -> str:
    """The prompt and the phrases that are there, as sentences."""
    given = (one.strip().rstrip(".") for one in (prompt, *phrases) if one)
    return ". ".join(one for one in given if one)


def negative(own: str, asked: str | None) -> str:
    """What must not be seen: the model's own list and the client's."""
    return ", ".join(one.strip() for one in (own, asked) if one and one.strip())
