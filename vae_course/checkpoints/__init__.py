"""Small trained models that come with the course, for what would take a lecture too long, and the commands that make them.

`python -m vae_course.checkpoints sprites` trains the fifteen models of sprites anew.
"""
