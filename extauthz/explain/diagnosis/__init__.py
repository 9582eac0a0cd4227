"""What a client did wrongly when it signed: known mistakes, tried until one makes its signature match."""
