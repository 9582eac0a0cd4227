"""What the lint looks for, one function each."""
