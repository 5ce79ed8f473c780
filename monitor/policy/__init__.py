"""Policies: who may talk to whom. Proposed from what was observed, and compared with it later."""
