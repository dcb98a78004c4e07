"""Plans without a product in the loop: one launch for the whole sequence."""
