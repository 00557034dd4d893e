"""Right answers in different styles, which every check must accept: one file a sheet, named as the sheet.

Students do not annotate what torch leaves open; these answers do not either.
"""
