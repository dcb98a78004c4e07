"""Builds all published runs as a static site of plain files, without a server or external resources."""
