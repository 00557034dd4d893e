"""How the course is made and published: what lectures never import, and what may need the dev extras.

catalogue    the one table of the course: parts, lectures in their order, routes
sources      where the text sources are, and what is measured of them
references   names of lectures, sections and exercises, which become numbers and links
build        notebooks from their sources
readme       the README's tables
quick        which notebooks have to be run again
breaks       small edits of a lecture's code, each with the claims that must fall
prove        which claims fall when a line is broken
slides       a deck of slides from a lecture
lab          the student's copies of the sheets, and what is said of them
failures     the line of a traceback that names the error
"""
