"""The one exception that users are meant to read."""


class FerError(Exception):
    """Something the user can put right: the message says what was given, what was expected and what to do.

    The command line prints it without a traceback and exits with status 2.
    """
