"""What is raised where no HTTP request can be made of what was given."""


class UnreadableRequest(ValueError):
    """The message says what is wrong and what to give instead."""
