"""The persistent schedule: one launch runs the whole sequence with the recurrent matrices on chip."""
