"""Hostile input: small valid files of every kind, ways to spoil them, and how reading ends."""
