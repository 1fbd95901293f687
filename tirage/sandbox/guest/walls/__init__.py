"""The walls of a box: what it sees of the file system, which system calls it may make, its limits."""
