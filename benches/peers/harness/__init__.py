"""Strop beside its peers, measured in one interleaved run. `rounds` is the story; start there."""
