"""What a notebook shows and claims.

runtime    device, seed, scale and budget
interruptions  what the stop button leaves behind
claims     sentences with a quantity in them, checked before they are printed
figures    the style of all figures
diagrams   boxes and arrows
widgets    pictures that follow their controls
"""
