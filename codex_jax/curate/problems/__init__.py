"""Problems of functions: reference, tests and shadow tests, and what speaks against one."""
