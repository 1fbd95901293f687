"""Conformance suites: what each port promises, tried on an object that anybody wrote."""
