"""The replica of the registry that each host keeps: how it is written, proved, followed and read."""
