"""The command `vae-course`: what students and teachers do with the course, and how it is made and published.

catalogue    where the course is, and its one table: parts, lectures in their order, routes
desk         a student's folder of lectures and copies of the sheets, opened in JupyterLab
lab          what is said of a sheet, and of a folder of hand-ins
run          execute a lecture and its sheet's solution
datasets     which data sets are there, made, or downloaded on request
bench        how long things take, beside the plain way
failures     the line of a traceback that names the error

The others make the course; they work in a checkout and may need the dev extras.

sources      where the text sources are, and what is measured of them
references   names of lectures, sections and exercises, which become numbers and links
alone        what stands under the title of a notebook that may be opened alone
build        notebooks from their sources
readme       the README's tables
quick        which notebooks have to be run again
breaks       small edits of a lecture's code, each with the claims that must fall
prove        which claims fall when a line is broken
slides       a deck of slides from a lecture
"""
