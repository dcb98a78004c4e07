"""Units that read their neighbours: one launch for the whole sequence."""
