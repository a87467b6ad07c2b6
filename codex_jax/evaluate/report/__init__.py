"""The report: verdicts as one HTML page with plots."""
