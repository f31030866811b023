"""The one error that users are meant to read."""


class SeamError(Exception):
    """A mistake in the input: one sentence saying what, where, and how to mend it.

    The command line prints it without a traceback and exits with status 2.
    """
