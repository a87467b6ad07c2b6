"""The command line: parses gin, freezes it, calls one function. The only room that imports gin."""
