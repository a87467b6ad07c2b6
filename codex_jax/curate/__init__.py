"""Problems made here: chains of building blocks. Their verdicts come back as data."""
