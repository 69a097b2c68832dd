"""Runs the measurements one after the other, and writes what came of them."""
