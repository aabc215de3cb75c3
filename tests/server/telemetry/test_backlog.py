from __future__ import annotations

import threading

from rapide.server.telemetry.backlog import Backlog


class Consumer:
    """Collects what it gets, once ``gate`` is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.got: list[list[int]] = []
        self.dropped = 0

    def consume(self, items: list[int]) -> None:
        self.entered.set()
        self.gate.wait()
        self.got.append(items)

    def drop(self) -> None:
        self.dropped += 1


def test_everything_arrives_in_order() -> None:
    consumer = Consumer()
    consumer.gate.set()
    backlog = Backlog("test", consumer.consume, consumer.drop)
    backlog.start()
    for number in range(5000):
        backlog.offer(number)
    assert backlog.close(10)
    assert [number for items in consumer.got for number in items] == list(range(5000))
    assert consumer.dropped == 0


def test_a_stuck_consumer_costs_items_and_never_time() -> None:
    consumer = Consumer()
    backlog = Backlog("test", consumer.consume, consumer.drop, limit=10)
    backlog.start()
    backlog.offer(0)
    consumer.entered.wait()
    for number in range(1, 100):
        backlog.offer(number)
    assert consumer.dropped == 89
    assert not backlog.close(0.01)
    consumer.gate.set()
    assert backlog.close(10)
    assert [number for items in consumer.got for number in items] == list(range(11))


def test_what_was_offered_before_the_start_is_not_lost() -> None:
    consumer = Consumer()
    consumer.gate.set()
    backlog = Backlog("test", consumer.consume, consumer.drop)
    backlog.offer(1)
    assert backlog.close(1)
    assert consumer.got == []
    backlog.start()
    assert backlog.close(10)
    assert consumer.got == [[1]]


def test_items_come_in_bounded_portions() -> None:
    consumer = Consumer()
    backlog = Backlog("test", consumer.consume, consumer.drop)
    for number in range(1300):
        backlog.offer(number)
    backlog.start()
    consumer.gate.set()
    assert backlog.close(10)
    assert [len(items) for items in consumer.got] == [512, 512, 276]
