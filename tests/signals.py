"""Signals as a terminal leaves them, for what is to be ended by one, whoever began the tests."""

import signal


def as_in_a_terminal() -> None:
    """Take back that SIGINT is ignored in the background of a script, and SIGHUP under nohup."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
