"""Calls that a package's own tests make, recorded while they run in a sandbox."""
