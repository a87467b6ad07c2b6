"""Sandboxes: gVisor or bubblewrap, with a fork server inside."""
