"""Base models: read from a directory, made small, checked before anything is trained."""
