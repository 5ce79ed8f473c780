"""Evidence: what an analyst opens when the page arrives. Stands beside the line, not in it."""
