"""Data: tensors in memory. `images` (digits), `batches` (by index, on the device), `corruptions` (noise, fewer pixels),
`toys` (known densities), `sprites` (shapes with known factors), `tones` and `signals` (sounds and sensors, computed),
`beams` (layouts of loaded cantilevers, made by `finite_elements`)."""
