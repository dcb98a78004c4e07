"""What the equations of a cell are written in."""
