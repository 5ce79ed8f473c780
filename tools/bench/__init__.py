"""Packets per second of CPU, beside other programs, on the same capture in one run: `make bench`."""
