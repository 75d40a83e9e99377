"""What may be written in the routing file, and what the gateway makes of it: one frozen snapshot."""
