"""Models: three distributions each, and views on them that are models again.

vae            the three distributions of a VAE
conditional    given(y): three distributions for known conditions
discrete       categorical latents, relaxed or straight through
vq_vae         vector quantisation: codes on a grid, the terms that move them
hierarchical   two levels of latents, one chain
views          a model with another posterior or another prior
priors         priors that are trained: a mixture, VampPrior
parabola       a curved model with one latent, known on a grid
autoencoder    encode and decode; squared error
"""
