"""Real Kafka: downloaded from Maven Central once, and run on loopback until the test ends."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from eventually import TIMEOUT, eventually
from free_ports import free_ports
from java_servers import LEASH, cached_jars
from programs import require_program

__all__ = ["KafkaServer", "running_kafka"]

_FILES: Final = Path(__file__).parents[1] / "interop" / "kafka"
_START_S: Final = 120.0
# Any 16 bytes in base64.
_CLUSTER: Final = "AAAAAAAAQACAAAAAAAAAAA"


class KafkaServer:
    """A broker, which can be stopped and started again with what it has.

    Args:
        folder: folder of its files.
    """

    def __init__(self, folder: Path) -> None:
        jars = cached_jars("kafka-4.3.1", _FILES / "pom.xml")
        port, controller = free_ports(2)
        self.address = f"127.0.0.1:{port}"
        self._log = folder / "kafka.log"
        self._settings = folder / "server.properties"
        text = (_FILES / "server.properties").read_text()
        for name, value in {"PORT": port, "CONTROLLER": controller, "DATA": folder / "data"}.items():
            text = text.replace(f"@{name}@", str(value))
        self._settings.write_text(text)
        self._java = [require_program("java", "default-jre-headless"), "-Xmx256m", "-XX:+UseSerialGC"]
        self._java += ["-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{jars}/*"]
        self._process: subprocess.Popen[bytes] | None = None
        self._run("kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(self._settings)).wait(_START_S)

    def _run(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as output:
            return subprocess.Popen([*LEASH, *self._java, *arguments], stdout=output, stderr=output)

    def start(self) -> None:
        """Start, and wait until it answers."""
        process = self._process = self._run("kafka.Kafka", str(self._settings))
        # Without a line on standard error for each attempt.
        client = AdminClient({"bootstrap.servers": self.address, "log_level": 0})

        def is_ready() -> bool:
            assert process.poll() is None, self._log.read_text()[-2000:]
            try:
                return bool(client.list_topics(timeout=1).brokers)
            except KafkaException:
                return False

        eventually(is_ready, "Kafka answers", timeout=_START_S)

    def create(self, topic: str) -> str:
        """Create a topic with 2 partitions. Return the target of programs."""
        client = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        client.create_topics([NewTopic(topic, num_partitions=2)])[topic].result(TIMEOUT)
        return f"kafka://{self.address}/{topic}"

    def number(self, target: str) -> int:
        """Return the number of messages of a topic."""
        topic = target.rpartition("/")[2]
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "count", "log_level": 0})
        marks = [consumer.get_watermark_offsets(TopicPartition(topic, each), timeout=TIMEOUT) for each in (0, 1)]
        consumer.close()
        return sum(high - low for low, high in marks)

    def stop(self) -> None:
        """Kill it. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(TIMEOUT)


@contextmanager
def running_kafka(folder: Path) -> Iterator[KafkaServer]:
    """Run a broker.

    Args:
        folder: folder for its files.
    """
    server = KafkaServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
