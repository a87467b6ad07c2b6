"""Packing of tokenized texts into rows, their storage, and the batches read from them."""
