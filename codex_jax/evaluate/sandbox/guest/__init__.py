"""What runs inside the sandbox. Its text is handed to the sandbox's own Python (3.8 or later) on
the command line, so these modules import nothing but the standard library and each other.
"""
