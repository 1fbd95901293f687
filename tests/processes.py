"""Processes that a test starts to interrupt them."""

import signal


def interruptible() -> None:
    """For `preexec_fn`: the child takes SIGINT as usual, also where this process ignores it, as a background job of a script does."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
