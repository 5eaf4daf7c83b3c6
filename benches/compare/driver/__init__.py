"""Starts brokers on loopback, runs the same works against each, and compares."""
