"""Errors that a user can mend."""


class UserError(ValueError):
    """Wrong input: the message names the field, the value and what is allowed.

    The command line prints it without a traceback and ends with exit code 2.
    """
