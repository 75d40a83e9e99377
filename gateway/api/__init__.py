"""The doors: HTTP in, HTTP out. Reads requests, calls a story, writes what it gives."""
