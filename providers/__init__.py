"""The lower house: how others speak. Pure values in, pure values out; it never sees the gateway."""
