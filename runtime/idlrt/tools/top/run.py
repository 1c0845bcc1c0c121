"""Ways to show figures: once, again and again as text, or as a screen."""

from __future__ import annotations

import time
from collections.abc import Callable

from idlrt.errors import RpcError
from idlrt.printable import plural
from idlrt.tools.top.collector import Collector
from idlrt.tools.top.output import Output, json_output, plain_lines
from idlrt.tools.top.poll import Poll, Poller
from idlrt.tools.top.table import Reports, make_table
from idlrt.tools.top.view import View

__all__ = ["NothingReadable", "once", "once_as_json", "once_as_text", "read_poll", "repeat", "watch"]


class NothingReadable(RpcError):
    """No instance could be read.

    Args:
        poll: the poll.
    """

    def __init__(self, poll: Poll) -> None:
        super().__init__(f"no metrics could be read ({plural(len(poll.readings), 'instance')})")
        self.reasons = [f"{each.name}: {each.error}" for each in poll.readings]


def read_poll(poller: Poller) -> Reports:
    """Return a poll.

    Raises:
        NothingReadable: there are no instances, or none of them could be read.
    """
    poll = poller.poll()
    if not poll.up:
        raise NothingReadable(poll)
    return Reports(poll)


def once(poller: Poller, view: View) -> Reports:
    """Return the poll after one interval; the first one if the figures are to be those since the start.

    Raises:
        NothingReadable: no instance could be read.
    """
    found = read_poll(poller)
    if view.is_since_start:
        return found
    time.sleep(view.interval)
    return read_poll(poller)


def once_as_text(poller: Poller, view: View) -> list[str]:
    """Return the table after one interval."""
    return plain_lines(make_table(once(poller, view), view), view)


def once_as_json(poller: Poller, view: View) -> Output:
    """Return the figures after one interval."""
    reports = once(poller, view)
    return json_output(reports, make_table(reports, view), view)


def repeat(poller: Poller, view: View, write: Callable[[str], object]) -> None:
    """Write a table every interval, without end.

    Raises:
        NothingReadable: no instance could be read at first.
    """
    due = time.monotonic()
    reports = read_poll(poller)
    while True:
        table = make_table(reports, view)
        write("\n".join((*plain_lines(table, view), "")))
        due = max(due + view.interval, time.monotonic())
        time.sleep(max(due - time.monotonic(), 0.0))
        reports = Reports(poller.poll())


def watch(poller: Poller, view: View) -> None:
    """Show the screen until it is left.

    Raises:
        NothingReadable: no instance could be read at first.
    """
    from idlrt.tools.top.terminal import show

    first = read_poll(poller)
    make_table(first, view)  # raises now if the side has no such dimension
    with Collector(poller, first, view.interval) as collector:
        show(collector, view)
