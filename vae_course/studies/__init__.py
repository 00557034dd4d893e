"""Trainings too long for a lecture: commands that can be stopped and taken up again, and their results, stored.

results       the files that say what was measured, and how it was made
long          one training, an epoch at a time, with a snapshot after each
cifar_codes   a VQ-VAE of CIFAR-10 and a prior over its codes
aevb          the curves of the AEVB paper, beside wake-sleep
aevb_evidence the same for its figure 3: log p(x) under three algorithms
failures      what a VAE of digits reacts to, over seeds, and what models of digits cost

`python -m vae_course.studies STUDY FOLDER` runs one of them; the snapshots go to FOLDER.
"""
