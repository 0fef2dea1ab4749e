"""What holds for all tests.

Tests end commands by Ctrl-C. A shell lets what it runs in the background ignore SIGINT, and children inherit that.
"""

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
