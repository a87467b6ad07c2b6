"""Cleaning: filters, personal data, decontamination, one file at a time."""
