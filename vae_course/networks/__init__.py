"""Networks: tensors in, tensors out. They know no probability; models take them as arguments.

stages          what halves or doubles the sides
multilayer      multilayer perceptrons, and what lays pictures out for them
convolutional   encoders and decoders of pictures by halving and doubling
fields          the same between pictures or sounds and fields of vectors; the masked convolutions of a PixelCNN
codebook        vectors moved by gradients or by moving averages
"""
