"""Tests of the attribute stage."""
