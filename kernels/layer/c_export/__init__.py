"""Writes a layer as C: one step of a stream, without a library."""
