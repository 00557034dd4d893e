"""Data: tensors in memory. `images` (digits), `batches` (by index, on the device), `toys` (known densities)."""
