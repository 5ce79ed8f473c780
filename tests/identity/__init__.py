"""Tests of who owns a connection."""
