"""The one error type that reaches a user."""


class InputError(Exception):
    """What the user gave is wrong: a file, an option, an interface, a right that is missing.

    The text is one line that says what is wrong and where (``file:line`` where there is a file)
    and, where it can be told, the nearest right word. The command line prints it on standard error
    and exits 2; it is never shown as a traceback.
    """
