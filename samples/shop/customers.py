"""Clients that find the shop in a registry and call it continuously while its instances come and go.

python customers.py embedded://127.0.0.1:7400 SECONDS [COLLECTOR]
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "gen"))

from company.shop import ShopServiceClient

from idlrt import RpcError, collector

CUSTOMERS = 4


def main(registry: str, seconds: float) -> int:
    done: list[int] = []
    failures: list[RpcError] = []
    end = time.monotonic() + seconds
    # Long runs are for looking at pages, not for load.
    pause = 0.05 if seconds > 60 else 0.0

    def look(shop: ShopServiceClient) -> None:
        count = 0
        while time.monotonic() < end:
            try:
                shop.get("T-1")
                count += 1
                time.sleep(pause)
            except RpcError as error:
                failures.append(error)
        done.append(count)

    with ShopServiceClient.connect(registry) as shop:
        print("the first call is answered:", shop.get("T-1").title, flush=True)
        threads = [threading.Thread(target=look, args=(shop,)) for _ in range(CUSTOMERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(f"{sum(done)} calls were answered, {len(failures)} failed")
    for failure in failures[:3]:
        print(" ", type(failure).__name__, failure)
    return 1 if failures or not all(done) else 0


if __name__ == "__main__":
    with collector.push(sys.argv[3], service="customers") if len(sys.argv) > 3 else nullcontext():
        code = main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 3.0)
    sys.exit(code)
