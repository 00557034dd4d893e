"""Data: tensors in memory. `images` (digits), `batches` (by index, on the device), `toys` (known densities),
`sprites` (shapes with known factors), `beams` (layouts of loaded cantilevers, made by `finite_elements`)."""
