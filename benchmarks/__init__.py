"""Measures what the gateway costs: CPU per request and per chunk, added latency, memory, time to ready."""
