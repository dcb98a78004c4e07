"""What is measured, and how: problem → backends → gate → clock, a group of cases at a time."""
