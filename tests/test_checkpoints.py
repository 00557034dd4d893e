"""The stored models: small, unharmed, made by the command named in them, and better than a fresh start."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from vae_course.checkpoints import __main__ as command
from vae_course.checkpoints import digit_vaes, sprite_vaes
from vae_course.training.store import checksum, manifest

FILES = sorted(sprite_vaes.FOLDER.glob("*.safetensors"))
SPRITES = [path for path in FILES if path.name.startswith("sprites")]


def test_the_files_are_those_of_the_manifest_and_small() -> None:
    assert {path.name: checksum(path) for path in FILES} == manifest(sprite_vaes.FOLDER)
    assert sum(path.stat().st_size for path in SPRITES) <= 3_000_000
    assert sum(path.stat().st_size for path in FILES) <= 8_000_000


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_at_most_a_megabyte_and_says_how_it_was_made(path: Path) -> None:
    assert path.stat().st_size <= 1_000_000
    with safe_open(path, framework="pt") as file:
        made_by = json.loads(file.metadata()["made_by"])
    if path in SPRITES:
        assert made_by["command"] == sprite_vaes.COMMAND
        assert made_by["beta"] == sprite_vaes.BETA[made_by["method"]]
    else:
        assert made_by["command"] == digit_vaes.COMMAND
        assert made_by["digits"] == 59_000  # MNIST without the digits that the lectures hold out


@pytest.mark.parametrize("method", sprite_vaes.OBJECTIVES)
def test_a_stored_model_has_a_lower_loss_than_a_fresh_one_after_a_short_training(method: str) -> None:
    x = sprite_vaes.binary_sprites()[::13]
    loss = sprite_vaes.OBJECTIVES[method]
    fresh, history = sprite_vaes.train_sprite_vae(loss, seed=0, epochs=1)
    with torch.no_grad():
        started = float(loss(sprite_vaes.sprite_vae(), x).mean())
        trained = float(loss(fresh, x).mean())
        stored = float(loss(sprite_vaes.load_sprite_vaes(method).median, x).mean())
    assert stored < trained < started
    assert len(history) == 1


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in [*FILES, sprite_vaes.FOLDER / "manifest.json"]:
        shutil.copy(path, tmp_path / path.name)
    damaged = tmp_path / f"{sprite_vaes.NAMES['VAE']}_encoder_3.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(bytes(content))
    monkeypatch.setattr(sprite_vaes, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=re.escape(f"The checkpoint {damaged} is not the one expected")):
        sprite_vaes.load_sprite_vaes("VAE")


def test_only_the_median_model_has_its_decoder() -> None:
    stored = sprite_vaes.load_sprite_vaes("VAE")
    gaps = torch.tensor([sprite_vaes.mean_gap(model) for model in stored.models])
    assert stored.models[int(gaps.argsort()[2])] is stored.median
    others = [model for model in stored.models if model is not stored.median]
    assert len(others) == 4
    for model in others:
        with pytest.raises(RuntimeError, match="take the median model"):
            model.likelihood(torch.zeros(1, 8))


def test_another_method_is_refused_with_those_there_are() -> None:
    with pytest.raises(KeyError, match=r"no stored models 'GAN'; choose one of VAE, β-VAE, β-TCVAE"):
        sprite_vaes.load_sprite_vaes("GAN")


def test_the_command_names_what_it_can_make(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 2
    assert "usage: python -m vae_course.checkpoints digits|sprites" in capsys.readouterr().err
