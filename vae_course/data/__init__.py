"""Data: tensors in memory.

sets             what all sets of data share
images           digits, and the sets on request
batches          shuffled batches by index, on the device
corruptions      noise, failing pixels, fewer pixels
toys             small data whose density or factors are known
sprites          shapes with known factors
tones            sounds with a known pitch and timbre
signals          two sensors of a pump, with faults
connections      records of a network, with four kinds of attack
own              your own: a folder of pictures, a table with gaps, an array; groups held out together
stand_ins        files that stand in for your own data
looking          what there is to see in data before a model sees it
beams            layouts of loaded cantilevers, made by `finite_elements`
finite_elements  plane stress and topology optimisation
"""
