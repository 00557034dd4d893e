"""Objectives: functions of (model, x) that return nats, one number per example (or per draw and example).

Nothing here knows a network, and nothing here averages over the batch: that happens once, in
`vae_course.training.loop.step`. A bound needs densities and draws; closed forms are improvements.

bounds          the ELBO, log p(x, z), importance weights and their bound
decomposition   the KL term of the ELBO in three pieces
"""
