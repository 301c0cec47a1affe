"""asyncio on one thread: tasks, queues, locks, time-outs, streams of a pipe, cancellation, and poll below it."""
import asyncio, contextvars, os, select, selectors

class PipeEnd:
    """One end of what a loop wakes itself with: a pipe, where the usual loop has a pair of sockets."""
    def __init__(self, descriptor):
        self.descriptor = descriptor
        os.set_blocking(descriptor, False)
    def fileno(self):
        return self.descriptor
    def recv(self, size):
        return os.read(self.descriptor, size)
    def send(self, data):
        return os.write(self.descriptor, data)
    def close(self):
        os.close(self.descriptor)

class Loop(asyncio.SelectorEventLoop):
    """Waits with poll."""
    def __init__(self):
        super().__init__(selectors.PollSelector())
    def _make_self_pipe(self):
        self._ssock, self._csock = map(PipeEnd, os.pipe())
        self._internal_fds += 1
        self._add_reader(self._ssock.fileno(), self._read_from_self)

context = contextvars.ContextVar("context", default="none")

async def worker(name, queue, done):
    context.set(name)
    while True:
        item = await queue.get()
        await asyncio.sleep(item / 10000)
        done.append((item, item * item))
        queue.task_done()
        if item == 13:
            raise ValueError(f"worker does not like {item}")

async def tasks():
    queue, done = asyncio.Queue(maxsize=5), []
    workers = [asyncio.create_task(worker(f"worker {n}", queue, done), name=f"worker {n}") for n in range(3)]
    for item in range(20):
        await queue.put(item)
    await queue.join()
    for task in workers:
        task.cancel()
    results = await asyncio.gather(*workers, return_exceptions=True)
    print(sorted(done), sorted(type(result).__name__ for result in results), context.get())

async def limits():
    try:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
    except TimeoutError as error:
        print("timed out", repr(error))
    lock, order = asyncio.Lock(), []
    async def critical(n):
        async with lock:
            order.append(n)
            await asyncio.sleep(0)
            order.append(n)
    async with asyncio.TaskGroup() as group:
        for n in range(5):
            group.create_task(critical(n))
    print(order)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(100))
            group.create_task(asyncio.wait_for(asyncio.sleep(100), 0.005))
    except* TimeoutError as error:
        print(error)

async def pipes():
    loop = asyncio.get_running_loop()
    read, write = os.pipe()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb"))
    transport, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(write, "wb"))
    for n in range(3):
        transport.write(f"line {n}\n".encode())
    transport.write(b"x" * 200000)
    transport.close()
    print([await reader.readline() for _ in range(3)], len(await reader.read()))

async def ticks():
    async def ticker(n):
        for i in range(n):
            yield i
            await asyncio.sleep(0)
    print([i async for i in ticker(3)], await asyncio.wait_for(asyncio.sleep(0, "slept"), 1))
    loop = asyncio.get_running_loop()
    future, calls = loop.create_future(), []
    loop.call_later(0.004, future.set_result, "later")
    loop.call_later(0.002, calls.append, "sooner")
    loop.call_soon(calls.append, "soon")
    print(await future, calls)

async def everything():
    await tasks()
    await limits()
    await pipes()
    await ticks()

with asyncio.Runner(loop_factory=Loop) as runner:
    runner.run(everything())

read, write = os.pipe()
poll = select.poll()
poll.register(read, select.POLLIN)
print(poll.poll(0), os.write(write, b"x"), poll.poll(10000) == [(read, select.POLLIN)], os.close(write), os.read(read, 1), poll.poll(0) == [(read, select.POLLHUP)])
