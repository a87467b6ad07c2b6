"""Source trees → seqio tasks → packed rows in TensorStore → batches.

`batches` is what training imports: it loads neither seqio nor TensorFlow.
"""
