"""The catalogue: one function for each thing that the doctor looks for."""
