"""Trains a demo model of about five million parameters on clips drawn by rule, in the true format of diffusers.

    python -m training.demo demo-model            # a GPU's work: 20,000 + 40,000 steps
    python -m training.demo demo-model --smoke    # a few steps on any CPU: shows that the way is open
    fairlead worker --model demo-model

Recipe. The clips (`training/clips.py`) show one shape of one colour that moves over a plain ground, and say so:
"a red ball moves left on white". The model is shaped like LTX 0.9.5: a VAE that makes one latent of 8 frames of
32x32 pixels, a T5 encoder of two layers that knows the captions' words, and a transformer of six layers. First the
VAE alone learns to give back what it is given (mean absolute error, with a little pull of its latents to the normal
distribution); then its latents are measured and it is frozen. Then encoder and transformer learn together to
predict noise minus latents from their mixture (flow matching, the mixture's share from a logistic normal
distribution); one caption in ten is left out, for guidance. AdamW, a constant rate after a short warm-up, and
gradients cut at 1. Weights are written in bfloat16.

Clip and chance follow from the number of the step. The state is written to `DIR.state.pt` every 500 steps, and
the same command goes on from there. No GPU has run this yet: how many steps a good model takes is a guess.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from msgspec import Struct

from providers.local.diffusion.tiny import ltx_vae
from training.clips import Clip, draw, words

_WIDTH = 192  # of the transformer and of the text
_CHANNELS = 32  # of a latent
_SPATIAL, _TEMPORAL = 32, 8  # pixels and frames of a latent
_FPS = 24
_RATE, _WARM_UP = 3e-4, 200
_SAVE_EVERY, _TELL_EVERY = 500, 20
_UNSAID = 0.1  # the share of captions that are left out
_PULL = 1e-4  # of the VAE's latents to the normal distribution
_MEASURED, _NEVER_TRAINED = (
    16,
    2**32,
)  # batches whose latents are measured, and the number of their first clip


class Plan(Struct, frozen=True, kw_only=True):
    """How much is trained: steps of the VAE, then of the rest; clips of a step; their size in pixels and frames."""

    vae_steps: int = 20_000
    steps: int = 40_000
    batch: int = 16
    width: int = 128
    height: int = 96
    frames: int = 25


SMOKE = Plan(vae_steps=50, steps=50, batch=2, width=64, height=64, frames=17)


class Trainer:
    """The parts of the pipeline, and how far they are. `step` counts those of the VAE and then the others."""

    def __init__(self, plan: Plan, device: str) -> None:
        torch.manual_seed(0)
        self.plan, self.device, self.step = plan, device, 0
        self.tokenizer = _tokenizer()
        self.vae = ltx_vae(_CHANNELS, (16, 24, 32, 32)).to(device)
        self.text_encoder = _text_encoder(len(self.tokenizer)).to(device)
        self.transformer = _transformer().to(device)
        self.optimizers = [_optimizer(self.vae), _optimizer(self.text_encoder, self.transformer)]

    @property
    def size(self) -> int:
        """How many parameters there are."""
        return sum(one.numel() for part in self._parts() for one in part.parameters())

    def train(self, told: Callable[[int, float], None], saved: Callable[[], None]) -> None:
        """Make the steps that are left; tells the number and the loss of each."""
        plan = self.plan
        while self.step < plan.vae_steps + plan.steps:
            if self.step == plan.vae_steps:
                self._measure()
            told(self.step, self.advance())
            if self.step % _SAVE_EVERY == 0:
                saved()

    def advance(self) -> float:
        """Make one step; its loss."""
        generator = torch.Generator("cpu").manual_seed(self.step)
        first = self.step < self.plan.vae_steps
        clips = [draw(self.step * self.plan.batch + at, *self._shape()) for at in range(self.plan.batch)]
        optimizer = self.optimizers[0 if first else 1]
        loss = (self._giving_back if first else self._denoising)(clips, generator)
        for group in optimizer.param_groups:
            begun = self.step if first else self.step - self.plan.vae_steps
            group["lr"] = _RATE * min(1.0, (begun + 1) / _WARM_UP)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
        optimizer.step()
        self.step += 1
        return float(loss.detach())

    def pipeline(self) -> Any:
        """The parts as a pipeline of diffusers."""
        return diffusers.LTXConditionPipeline(
            tokenizer=self.tokenizer,
            text_encoder=self.text_encoder.eval(),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
            transformer=self.transformer.eval(),
            vae=self.vae.eval(),
        )

    def state(self) -> dict[str, Any]:
        """All that is needed to go on."""
        stateful = (*self._parts(), *self.optimizers)
        return {"step": self.step, "parts": [one.state_dict() for one in stateful]}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        for one, told in zip((*self._parts(), *self.optimizers), state["parts"], strict=True):
            one.load_state_dict(told)
        self.step = state["step"]

    def _parts(self) -> tuple[Any, ...]:
        return self.vae, self.text_encoder, self.transformer

    def _shape(self) -> tuple[int, int, int]:
        return self.plan.frames, self.plan.width, self.plan.height

    def _pixels(self, clips: Sequence[Clip]) -> torch.Tensor:
        return torch.from_numpy(np.stack([clip.frames for clip in clips])).to(self.device)

    def _giving_back(self, clips: Sequence[Clip], generator: torch.Generator) -> torch.Tensor:
        pixels = self._pixels(clips)
        found = self.vae.encode(pixels).latent_dist
        noise = torch.randn(found.mean.shape, generator=generator).to(self.device)
        made = self.vae.decode(found.mean + found.std * noise).sample
        return (made - pixels).abs().mean() + _PULL * found.kl().mean() / found.mean[0].numel()

    def _denoising(self, clips: Sequence[Clip], generator: torch.Generator) -> torch.Tensor:
        with torch.no_grad():
            mean, std = (one.view(1, -1, 1, 1, 1) for one in (self.vae.latents_mean, self.vae.latents_std))
            latents = (self.vae.encode(self._pixels(clips)).latent_dist.mean - mean) / std
        spread, high, wide = latents.shape[2:]
        tokens = latents.flatten(2).transpose(1, 2)
        noise = torch.randn(tokens.shape, generator=generator).to(self.device)
        share = torch.randn(len(clips), 1, 1, generator=generator).sigmoid().to(self.device)
        unsaid = torch.rand(len(clips), generator=generator) < _UNSAID
        said = ["" if left_out else clip.caption for clip, left_out in zip(clips, unsaid, strict=True)]
        text = self.tokenizer(said, padding=True, return_tensors="pt").to(self.device)
        predicted = self.transformer(
            hidden_states=(1 - share) * tokens + share * noise,
            encoder_hidden_states=self.text_encoder(text.input_ids, attention_mask=text.attention_mask)[0],
            timestep=share[:, 0] * 1000,
            encoder_attention_mask=text.attention_mask.bool(),
            video_coords=_places(spread, high, wide).expand(len(clips), -1, -1).to(self.device),
        ).sample
        return torch.nn.functional.mse_loss(predicted, noise - tokens)

    @torch.no_grad()
    def _measure(self) -> None:
        """Write down what the latents are like, so that they are told to the transformer in even measure."""
        found = []
        for number in range(_MEASURED):
            start = _NEVER_TRAINED + number * self.plan.batch
            clips = [draw(start + at, *self._shape()) for at in range(self.plan.batch)]
            found.append(self.vae.encode(self._pixels(clips)).latent_dist.mean)
        latents = torch.cat(found).transpose(0, 1).flatten(1)
        self.vae.latents_mean.copy_(latents.mean(1))
        self.vae.latents_std.copy_(latents.std(1).clamp(min=1e-3))


def _places(frames: int, rows: int, columns: int) -> torch.Tensor:
    """Where each latent stands, in seconds and pixels, as the pipeline tells it: one, three, latents."""
    axes = (torch.arange(edge, dtype=torch.float32) for edge in (frames, rows, columns))
    when, row, column = (one.flatten() for one in torch.meshgrid(*axes, indexing="ij"))
    seconds = (when * _TEMPORAL + 1 - _TEMPORAL).clamp(min=0) / _FPS
    return torch.stack([seconds, row * _SPATIAL, column * _SPATIAL])[None]


def _tokenizer() -> Any:
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0)]
    return transformers.T5Tokenizer(
        vocab=[*special, ("▁", -8.0), *((f"▁{word}", -3.0) for word in words())], extra_ids=0
    )


def _text_encoder(tokens: int) -> Any:
    return transformers.T5EncoderModel(
        transformers.T5Config(
            vocab_size=tokens,
            d_model=_WIDTH,
            d_kv=32,
            d_ff=2 * _WIDTH,
            num_layers=2,
            num_heads=6,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
        )
    )


def _transformer() -> Any:
    return diffusers.LTXVideoTransformer3DModel(
        in_channels=_CHANNELS,
        out_channels=_CHANNELS,
        patch_size=1,
        patch_size_t=1,
        num_attention_heads=6,
        attention_head_dim=_WIDTH // 6,
        cross_attention_dim=_WIDTH,
        num_layers=6,
        caption_channels=_WIDTH,
    )


def _optimizer(*parts: Any) -> torch.optim.AdamW:
    return torch.optim.AdamW(list(_weights(parts)), lr=_RATE, weight_decay=0.01)


def _weights(parts: Sequence[Any]) -> Iterator[Any]:
    for part in parts:
        yield from part.parameters()


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, going on where the last run stopped, and write the pipeline."""
    parser = argparse.ArgumentParser("python -m training.demo", description=__doc__.partition("\n")[0])
    parser.add_argument("dir", type=Path, metavar="DIR", help="where the model is written")
    parser.add_argument("--smoke", action="store_true", help="a few steps, to show that it works")
    given = parser.parse_args(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trainer = Trainer(SMOKE if given.smoke else Plan(), device)
    kept = given.dir.with_name(f"{given.dir.name}.state.pt")
    if kept.exists():
        trainer.resume(torch.load(kept, map_location=device, weights_only=True))
    began = time.monotonic()

    def tell(step: int, loss: float) -> None:
        if step % _TELL_EVERY == 0:
            sys.stdout.write(f"step {step}: loss {loss:.4f}, {time.monotonic() - began:.0f} s\n")
            sys.stdout.flush()

    def save() -> None:
        part = kept.with_suffix(".part")
        torch.save(trainer.state(), part)
        part.replace(kept)

    sys.stdout.write(f"{trainer.size / 1e6:.1f} million parameters on {device}\n")
    trainer.train(tell, save)
    save()
    trainer.pipeline().to(torch.bfloat16).save_pretrained(given.dir, safe_serialization=True)
    sys.stdout.write(f"after {time.monotonic() - began:.0f} s: fairlead worker --model {given.dir}\n")


if __name__ == "__main__":
    main()
