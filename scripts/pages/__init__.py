"""What scripts make of the code for the documentation: `python -m scripts.pages`, or `make pages`."""
