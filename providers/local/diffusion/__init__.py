"""The diffusion engine: any video pipeline directory of Hugging Face diffusers, on a GPU or a CPU.

settings, directory        what an operator asks for, checked before anything is loaded     (no torch)
families, plan, wording    which pipeline classes do what; frames, sizes and prompts, pure  (no torch)
engine, model, levers      the engine's own process                                         (torch)
tiny, bench                the commands `make-tiny` and `bench`                             (torch)
"""
