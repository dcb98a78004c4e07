"""The scan schedule: plans without a recurrent product, in one launch for the whole sequence."""
