"""Trainings too long for a lecture: commands that can be stopped and taken up again, and their results, stored.

results       the files that say what was measured, and how it was made
long          one training, an epoch at a time, with a snapshot after each
cifar_codes   a VQ-VAE of CIFAR-10 and a prior over its codes

`python -m vae_course.studies cifar_codes FOLDER` runs one of them; the snapshots go to FOLDER.
"""
