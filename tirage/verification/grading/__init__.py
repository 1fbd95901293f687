"""Grading in processes of their own, so that a hanging grader stops nothing."""
