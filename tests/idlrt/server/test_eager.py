"""Tasks whose first step runs at once are tasks like others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from idlrt.server.eager import TaskStarter, task_starter

number: ContextVar[int] = ContextVar("number", default=0)


def run(use: Callable[[TaskStarter], asyncio.Task[None] | None]) -> asyncio.AbstractEventLoop:
    """Call `use` in a callback of an event loop, run that until the task that is returned ends; the loop, closed."""
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    unexpected: list[Any] = []
    loop.set_exception_handler(lambda _, context: unexpected.append(context))

    def begin() -> None:
        task: asyncio.Future[None] | None = None
        try:
            task = use(task_starter(loop))
        finally:
            (task or loop.create_future()).add_done_callback(lambda _: loop.stop())
            if task is None:
                loop.stop()

    loop.call_soon(begin)
    loop.run_forever()
    loop.close()
    assert not unexpected
    return loop


def test_a_coroutine_that_does_not_suspend_is_over_at_once() -> None:
    seen: list[object] = []

    async def work() -> None:
        task = asyncio.current_task()
        assert isinstance(task, asyncio.Task)
        seen.extend((number.get(), task in asyncio.all_tasks(), asyncio.get_running_loop()))
        number.set(2)

    def use(start: TaskStarter) -> None:
        context = copy_context()
        context.run(number.set, 1)
        assert start(work(), context).done()
        assert asyncio.current_task() is None
        assert (number.get(), context[number]) == (0, 2)

    loop = run(use)
    assert seen == [1, True, loop]


def test_one_that_suspends_goes_on_as_the_same_task_in_the_same_context() -> None:
    seen: list[object] = []

    async def work() -> None:
        task = asyncio.current_task()
        async with asyncio.timeout(3600), asyncio.TaskGroup() as group:
            await group.create_task(asyncio.sleep(0))
            number.set(number.get() + 1)
        assert asyncio.current_task() is task
        seen.append(number.get())

    def use(start: TaskStarter) -> asyncio.Task[None]:
        context = copy_context()
        context.run(number.set, 1)
        task = start(work(), context)
        assert not task.done()
        return task

    run(use)
    assert seen == [2]


def test_one_that_suspends_can_be_cancelled() -> None:
    seen: list[type[BaseException]] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            seen.append(type(error))
            raise

    def use(start: TaskStarter) -> asyncio.Task[None]:
        task = start(work(), copy_context())
        task.cancel()
        return task

    run(use)
    assert seen == [asyncio.CancelledError]


def test_what_its_first_step_schedules_runs_and_so_does_what_comes_after_it() -> None:
    seen: list[str] = []

    async def work() -> None:
        asyncio.get_running_loop().call_soon(seen.append, "of the first step")

    def use(start: TaskStarter) -> asyncio.Task[None]:
        assert start(work(), copy_context()).done()
        return asyncio.get_running_loop().create_task(other())

    async def other() -> None:
        seen.append("afterwards")

    run(use)
    assert seen == ["of the first step", "afterwards"]


def test_something_that_is_no_coroutine_leaves_the_event_loop_as_it_was() -> None:
    def use(start: TaskStarter) -> asyncio.Task[None]:
        nothing: Any = None
        with pytest.raises(TypeError):
            start(nothing, copy_context())
        return asyncio.get_running_loop().create_task(asyncio.sleep(0))

    run(use)
