"""Readers: source files, archives, notebooks and Q&A posts to documents, with their licenses."""
