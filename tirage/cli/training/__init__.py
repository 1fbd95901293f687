"""Training jobs and improvement rounds."""
