"""Models: one file a family. A latent-variable model is three distributions."""
