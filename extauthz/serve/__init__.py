"""The process: start, loop, stop; transports, health, metrics, decision log."""
