"""seqio Tasks and vocabulary, and the Beam pipeline that caches them."""
