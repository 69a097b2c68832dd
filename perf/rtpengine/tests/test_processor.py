import os

from beside.processor import Usage


def test_processor_time_is_that_of_the_process():
    before = Usage.now(os.getpid())
    while (spent := Usage.now(os.getpid()).since(before)).process < 0.1:
        pass
    assert 0.1 <= spent.process <= spent.at + 0.02
    assert len(spent.busy) == len(spent.softirq) >= 1 and sum(spent.busy) > 0
