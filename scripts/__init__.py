"""Programs around the package: installation, documentation, tested versions."""
