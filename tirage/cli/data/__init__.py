"""Problem sets, training rows and collections of documents."""
