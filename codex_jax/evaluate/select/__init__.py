"""Selection of one program of several by what the prompt says and what the programs do."""
