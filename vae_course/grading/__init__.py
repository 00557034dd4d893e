"""Grading: the student's functions run in one process, the verdict falls in another.

wire      messages over a pipe: words, numbers and tensors, nothing that runs
sheets    what a sheet asks, and what a student's notebook holds of it
worker    the student's side: runs cells, calls functions, decides nothing
remote    the judge's hold on it: requests, a time limit, what it died of
grade     one row for each exercise of a sheet
"""
