"""The truth where it is known: in closed form, on a grid, or by a sum over all values.

linear_gaussian        probabilistic PCA, and a chain of two: log p(x) and the posterior in closed form
linear_vae             every stationary point of a linear VAE, and what each unit of it is worth
mixture                mixtures of normals: discrete latents
gaps                   a normal of which some coordinates were observed, and its best fit
grids                  any model with one or two latents
enumeration            any model with discrete latents
principal_components   the exact partner of the linear autoencoder

Estimators are held against these, in tests and in notebooks.
"""
