"""Faults on purpose, and what each proxy makes of them: how many requests fail, and whose."""
