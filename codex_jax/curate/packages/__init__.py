"""Packages as archives hold them: unpacked, parsed, and never imported."""
