"""Import and export of weights: safetensors and GGUF to our checkpoints and back."""
