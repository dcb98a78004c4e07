"""The whole sequence in one launch, the recurrent matrices on chip."""
