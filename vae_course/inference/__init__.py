"""Inference: how the parameters of a posterior, or of a model, are found.

variational                free and factorised q, coordinate ascent
gradients                  pathwise and score-function estimators of a gradient
hamiltonian                Hamiltonian Monte Carlo
monte_carlo_em             EM whose E step is a Markov chain for each example
wake_sleep                 a decoder that learns from data, an encoder that learns from dreams
expectation_maximization   EM where posterior and maximisation are closed forms
"""
