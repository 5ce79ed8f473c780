"""Watches what leaves a backend: who sent how much to whom, how we know, and which rule minds."""
