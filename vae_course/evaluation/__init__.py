"""Evaluation: what a model is worth, measured.

evidence          log p(x) by importance sampling, with its error
annealed          log p(x) by annealed importance sampling, a second opinion
bits_back         lossless compression whose length is minus the ELBO
bounds            rate and distortion, mean ELBO, bits per dimension
latents           posterior means, active units, the cost of each latent
aggregate         the aggregate posterior against the prior, from both sides
effective_beta    what β a loss found in code really has
disentanglement   mutual information, its gap (MIG), the FactorVAE score
pictures          errors in decibels and maps, structural similarity
ranking           the area under the ROC curve with its interval, clusters against classes
posterior_draws   log p(x) from draws of the posterior
features          the Fréchet distance in the eyes of a small classifier
manifolds         precision and recall of pictures in features
cards             diagnosis cards: signs in measured numbers, causes, what to measure, what to do
geometry          angles of subspaces, layouts in one piece or several
"""
