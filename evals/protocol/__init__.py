"""What a study declares before its runs, and what has changed since."""
