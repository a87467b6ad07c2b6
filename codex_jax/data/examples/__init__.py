"""Training texts made of documents: pairs of prose and code, fill-in-the-middle, rendering."""
