"""The program inside: template, zygote and nodes of the forking box.

Runs in its own interpreter, started with a clean environment from the directory above, so it imports only
the standard library and its own modules. Nothing here may start a thread.
"""
