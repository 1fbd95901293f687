"""Shipped doubles and conformance suites, for tests of tirage and of whatever is built on it."""
