"""Interactive pictures. Each is a tested function of plain values, a few controls, and a static picture.

Where a kernel runs, the controls move the picture; where none does (a preview, a printed page), the notebook shows
the picture stored beside them.

interactive   a picture that follows its controls
codes         through bottlenecks of several sizes, and over a plane
denoising     noise of any level, taken away
drawing       a digit drawn by hand, and what a model says of it
inference     the directions of KL, the gap of the ELBO, clouds of gradients
likelihoods   what a family says of a pixel and of a picture
convolution   a filter painted by hand
latents       latents of several models; a class in a style
layouts       beams along directions of the latent space
choices       three categories at a temperature; codebooks in the plane
questions     questions that answer back
self_test     eight of them, on what the course needs
"""
