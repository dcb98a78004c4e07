"""The commands of `python -m bench`, a file for each. Heavy imports wait until a command runs."""
