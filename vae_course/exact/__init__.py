"""The truth where it is known: in closed form, on a grid, or by a sum over all values.

linear_gaussian        probabilistic PCA, and a chain of two: log p(x) and the posterior in closed form
mixture                mixtures of normals: discrete latents
grids                  any model with one or two latents
enumeration            any model with discrete latents
principal_components   the exact partner of the linear autoencoder

Estimators are held against these, in tests and in notebooks.
"""
