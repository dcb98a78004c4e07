"""Python imports this before anything else where its folder is on PYTHONPATH: every process of a rehearsal pretends."""

from tests.pretended import seam

seam.install()
