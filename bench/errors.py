"""The error that reports invalid arguments to the user of a command."""


class UsageError(ValueError):
    """Invalid arguments. The message is one line that names the argument and the fix; the exit code of the command is 2."""
