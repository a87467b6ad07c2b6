"""The programming languages that can be judged, and their toolchains."""
