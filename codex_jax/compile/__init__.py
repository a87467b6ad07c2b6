"""compile: a step fitted to a TPU pod without the pod."""
