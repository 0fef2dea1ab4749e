"""What holds for all tests.

Tests end commands by Ctrl-C. A shell lets what it runs in the background ignore SIGINT, and children inherit that. No
test asserts how long anything takes, and so no example of a property has a deadline.
"""

import signal

from hypothesis import settings

signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("extauthz", deadline=None)
settings.load_profile("extauthz")
