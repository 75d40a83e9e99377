"""Decides where a request goes: pure functions over a snapshot, what is known of each target, and the dice."""
