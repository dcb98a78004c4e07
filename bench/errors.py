"""The error of a command's user."""


class UsageError(ValueError):
    """Invalid arguments. The message is one line that names the argument and the fix; the exit code is 2."""
