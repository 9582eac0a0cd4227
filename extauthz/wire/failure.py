"""An exception as a log may show it: never its message, which may quote what a client sent."""


def describe(error: BaseException) -> str:
    """Type and place of an exception, without its message."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{place}"
