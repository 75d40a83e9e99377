"""What a key may use: the rules, and the counters that hold them in this process or in Redis."""
