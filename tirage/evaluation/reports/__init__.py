"""Reports: on disk, as tables, as one HTML page with its charts."""
