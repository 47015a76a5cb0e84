import random
import threading
import time

from statspout.client.mmap import CounterField, DoubleField, MmStats, TimerField


class WebStats(MmStats):
    status2xx = CounterField(label="status.2XX")
    status3xx = CounterField(label="status.3XX")
    status4xx = CounterField(label="status.4XX")
    status5xx = CounterField(label="status.5XX")
    last_hit = DoubleField(label="timers.last_hit")
    page = TimerField(label="timers.page")


webstats = WebStats(label_prefix="web.stats.")


def serve() -> None:
    while True:
        with webstats.page:
            time.sleep(random.uniform(0.01, 0.05))
        status = random.choice([200, 200, 200, 301, 404, 500])
        getattr(webstats, f"status{status // 100}xx").incr()
        webstats.last_hit = time.time()


for _ in range(3):
    threading.Thread(target=serve).start()
