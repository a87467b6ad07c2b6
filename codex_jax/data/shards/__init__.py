"""Shards of a corpus, built by a pool of worker processes and resumed by shard."""
