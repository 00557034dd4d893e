"""Training: one loop for every algorithm, and a store of weights.

loop    players and `fit`
store   weights as safetensors that say how they were made
"""
