"""Jupyter kernels as a sandbox back end."""
