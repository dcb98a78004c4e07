"""What `python -m bench` can be asked for, a file for each kind of question. What is heavy is imported when it is asked."""
