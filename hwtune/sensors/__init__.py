"""What the machine says of itself, read through the host: samples."""
