"""The attribute stage: who sent it, to whom, and how we know."""
