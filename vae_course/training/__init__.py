"""Training: one loop for every algorithm, a store of weights, and snapshots of a training.

loop        players and `fit`
store       weights as safetensors that say how they were made
provenance  a model beside a page that says what it was trained on
snapshot    all that moves in a training, so that it can be stopped and taken up
"""
