"""Modules that run inside a sandbox, in its own Python (3.8 or later), to which they are sent.

They import nothing but the standard library, sandbox/protocol.py and each other.
"""
