"""Small trained models that come with the course, for what would take a lecture too long, and the commands that make them.

`python -m vae_course.checkpoints sprites` trains the fifteen models of lecture 10 anew (about ten minutes with one
thread) and prints the checksums to write into `SHA256`. Each file is at most 1 MB, half precision, with how it was
made inside; one with another checksum is refused.
"""

from vae_course.checkpoints.sprite_vaes import (
    BETA,
    OBJECTIVES,
    Stored,
    binary_sprites,
    load_sprite_vaes,
    sprite_vae,
    train_sprite_vae,
)

__all__ = ["BETA", "OBJECTIVES", "Stored", "binary_sprites", "load_sprite_vaes", "sprite_vae", "train_sprite_vae"]
