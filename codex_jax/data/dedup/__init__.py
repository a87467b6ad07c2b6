"""Exact and near duplicates, within one process or over a whole corpus."""
