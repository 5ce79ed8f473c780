"""Build what the package ships for attribution: the compiled catalogue and the merged database."""
