"""The diffusion engine: any video pipeline directory of Hugging Face diffusers, on a GPU or a CPU.

settings, directory        what an operator asks for, checked before anything is loaded     (no torch)
families, plan, wording    which pipeline classes do what; frames, sizes and prompts, pure  (no torch)
engine, model, levers      the engine's own process                                         (torch)
peers                      more of them, for clips that several devices make together       (torch)
tiny, bench                the commands `make-tiny` and `bench`                             (torch)
"""

import logging
import os

# before they are imported: what torchao has for other cards than this one is nobody's concern
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
for _library in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_library).setLevel(logging.ERROR)
