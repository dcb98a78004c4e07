"""Measuring: Case → Samples → Summary → Record → Report. `python -m bench --help` starts here."""
