"""Cloud Storage: paths such as gs://BUCKET/RUN, their objects, and local copies of these."""
