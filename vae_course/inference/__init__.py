"""Inference: how the parameters of a posterior, or of a model, are found.

variational                free and factorised q, coordinate ascent
gradients                  pathwise and score-function estimators of a gradient
hamiltonian                Hamiltonian Monte Carlo
expectation_maximization   EM where posterior and maximisation are closed forms
"""
