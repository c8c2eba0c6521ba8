"""An imaginary machine behind the host seam: labelled simulated wherever its figures are shown."""
