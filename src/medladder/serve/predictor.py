"""From held files to predictions: decoded side by side, answered in batches of whatever has come meanwhile.

As many threads as there are decoding processes take jobs in the order in which they came; one thread asks the models.
A job that nobody waits for any more is passed over.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from medladder.images.pool import decoding_pool
from medladder.machine import n_processors
from medladder.models.answering import Answering
from medladder.models.files import Decoded, Prediction, Wanted, answer, job_for, of_worker

from .room import Room

MOST_TOGETHER = 8
"""Files that one decoding process is given at once: each is answered when it is there, the next needs no wait."""

BATCH = 64
"""Images that a model is asked about together, at most."""

Outcome = Prediction | str
"""A prediction, or the reason why a file has none."""


@dataclass(eq=False)
class _Order:
    """One image that is wanted."""

    wanted: Wanted
    asked: Answering
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Outcome]
    is_dropped: bool = False
    decoded: Decoded | None = field(default=None, repr=False)


class Predictor:
    """The threads, and the two queues between a request and its answer."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._to_decode: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._to_answer: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._n_decoders = n_processors()
        self._threads = [
            *(threading.Thread(target=self._decode, name=f"decoder-{i}") for i in range(self._n_decoders)),
            threading.Thread(target=self._answer, name="predictor"),
        ]
        for thread in self._threads:
            thread.start()

    async def predict(self, wanted: Sequence[Wanted], asked: Answering) -> list[Outcome]:
        """What is said of each image, in their order; raises TimeoutError."""
        loop = asyncio.get_running_loop()
        orders = [_Order(one, asked, loop, loop.create_future()) for one in wanted]
        self._room.waiting_images += len(orders)
        try:
            for order in orders:
                self._to_decode.put(order)
            async with asyncio.timeout(self._room.limits.seconds_to_answer):
                outcomes = [await order.future for order in orders]
        finally:
            self._room.waiting_images -= len(orders)
            for order in orders:
                order.is_dropped = True
                if order.future.done() and not order.future.cancelled():
                    order.future.exception()  # of an image that is not waited for any more
        self._room.finished(len(orders))
        return outcomes

    def close(self) -> None:
        """End the threads, after what they were given."""
        *decoders, predictor = self._threads
        for _ in decoders:
            self._to_decode.put(None)
        for thread in decoders:
            thread.join()
        self._to_answer.put(None)
        predictor.join()

    def _decode(self) -> None:
        while bundle := self._next_bundle():
            orders = [order for order in bundle if not order.is_dropped]
            n_done = 0
            try:
                jobs = [job_for(order.wanted, order.asked.preparation) for order in orders]
                for order, found in zip(orders, decoding_pool().answer_together(jobs) if jobs else (), strict=True):
                    order.decoded = of_worker(order.wanted.file, found, order.asked.shape)
                    n_done += 1
                    self._to_answer.put(order)
            except Exception as error:  # a thread that ends would leave every later request without an answer
                _fail(orders[n_done:], error)

    def _next_bundle(self) -> list[_Order]:
        """The next job, and a fair share of what waits behind it; none at the end."""
        first = self._to_decode.get()
        if first is None:
            return []
        bundle = [first]
        share = min(MOST_TOGETHER, 1 + self._to_decode.qsize() // self._n_decoders)
        while len(bundle) < share:
            try:
                order = self._to_decode.get_nowait()
            except queue.Empty:
                break
            if order is None:
                self._to_decode.put(None)
                break
            bundle.append(order)
        return bundle

    def _answer(self) -> None:
        while (first := self._to_answer.get()) is not None:
            batch: list[_Order] = [first]
            while len(batch) < BATCH:
                try:
                    order = self._to_answer.get_nowait()
                except queue.Empty:
                    break
                if order is None:
                    self._to_answer.put(None)
                    break
                batch.append(order)
            self._answer_batch(batch)

    def _answer_batch(self, batch: Sequence[_Order]) -> None:
        by_model = defaultdict(list)
        for order in batch:
            by_model[id(order.asked)].append(order)
        for orders in by_model.values():
            known = [order for order in orders if order.decoded is not None and order.decoded.pixels is not None]
            try:
                said = answer(known[0].asked, [order.decoded for order in known if order.decoded]) if known else []
                outcomes: list[tuple[_Order, Outcome]] = list(zip(known, said, strict=True))
            except Exception as error:  # as above
                _fail(orders, error)
                continue
            outcomes += [(order, order.decoded.reason) for order in orders if order.decoded and order not in known]
            _resolve(outcomes)


def _resolve(outcomes: Sequence[tuple[_Order, Outcome]]) -> None:
    """Hand answers over to the loop that waits for them, one call for all of one loop."""
    by_loop = defaultdict(list)
    for order, outcome in outcomes:
        by_loop[order.loop].append((order.future, outcome))
    for loop, pairs in by_loop.items():
        _call(loop, pairs)


def _call(loop: asyncio.AbstractEventLoop, pairs: Sequence[tuple[asyncio.Future[Outcome], Outcome]]) -> None:
    def hand_over() -> None:
        for future, outcome in pairs:
            if not future.done():
                future.set_result(outcome)

    try:
        loop.call_soon_threadsafe(hand_over)
    except RuntimeError:  # the loop has ended: nobody waits
        return


def _fail(orders: Sequence[_Order], error: Exception) -> None:
    def hand_over(future: asyncio.Future[Outcome]) -> None:
        if not future.done():
            future.set_exception(error)

    for order in orders:
        try:
            order.loop.call_soon_threadsafe(hand_over, order.future)
        except RuntimeError:
            continue
