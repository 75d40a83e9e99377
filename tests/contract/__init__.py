"""What programs that use the official clients can rely on, seen over real sockets."""
