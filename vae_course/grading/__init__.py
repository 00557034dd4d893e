"""Grading: the student's functions run in one process, the verdict falls in another.

verdict     the words of a verdict, and what may be shown of a text that a notebook sent
wire        messages over a pipe: words, numbers and tensors, nothing that runs
sheets      what a sheet asks, and what a student's notebook holds of it
limits      what a worker may use, and the watch on it
refusal     the number of processes at which the system itself refuses more
scratch     where a worker works, removed afterwards
contained   how a worker is contained on this machine, and what is said of it
inside      takes rights from a process before it becomes a worker
worker      the student's side: runs cells, calls functions, decides nothing
remote      the judge's hold on it: requests, a time limit, what it died of
grade       one row for each exercise of a sheet
folder      every notebook of a folder, several at once
report      a table, a CSV, a page of HTML
"""
