"""What carries Checks: bytes in, bytes out. A transport knows deadlines and threads, and nothing of decisions."""
