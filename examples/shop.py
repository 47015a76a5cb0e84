import random
import time

from statspout.client import StatsD

stats = StatsD(prefix="shop", tags={"env": "prod"})
while True:
    with stats.timer("checkout"):
        time.sleep(random.uniform(0.05, 0.15))
    stats.count("orders")
    stats.gauge_set("queue", random.randrange(10))
