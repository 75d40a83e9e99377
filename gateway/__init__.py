"""The upper house: decides, waits, counts, remembers. Speaks OpenAI to clients and `providers` to the rest."""
