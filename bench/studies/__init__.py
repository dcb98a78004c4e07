"""The studies of what is measured besides speed."""
