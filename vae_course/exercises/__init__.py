"""Exercises: what checks an answer and names its error.

exercise   what an exercise is: a reference, cases, wrong answers with their sentences
engine     is an answer right, and if not, what is wrong
observe    what one call of an answer gave, as data
run        an answer on its cases; when two runs are the same
errors     what an exception inside an answer means
slips      small errors made on purpose in a right answer while it runs
faults     what was done to a right result; what any answer can get wrong
words      shapes and arguments in words
parts      draws for cases, answers in named steps from which wrong ones are written
modules    what a class of modules does, made comparable
sheets     one file a sheet, under the name of its lecture
"""
