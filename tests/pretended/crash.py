"""A step that crashes: `python -m tests.pretended.crash`."""

import os

print("about to crash", flush=True)
os.abort()
