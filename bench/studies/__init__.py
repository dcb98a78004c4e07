"""What is measured besides speed."""
