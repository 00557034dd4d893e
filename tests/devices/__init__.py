"""Devices without a device: what breaks on an accelerator is found on a processor."""
