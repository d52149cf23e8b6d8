"""Checks in a process of their own, for libraries that this one should not load."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def apart():
    """call(function, *arguments): what it returns there, or its error here; one process for all calls."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield lambda function, *arguments: pool.submit(_named, function, arguments).result()


def _named(function, arguments):
    """The function by "module.name": this process never imports that module."""
    module, name = function.split(".")
    return getattr(__import__(module), name)(*arguments)
