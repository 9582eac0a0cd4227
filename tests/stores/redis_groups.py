"""Several real Redis servers that stand in for each other: under Sentinels, and as a Cluster."""

from pathlib import Path

from tests.process.running import eventually
from tests.stores.redis_server import RedisServer, SentinelServer

MASTER_NAME = "nonces"


class Watched:
    """A master, two replicas, and a Sentinel that promotes one of them half a second after the master fell silent."""

    def __init__(self, folder: Path, password: str = "", sentinel_password: str = "") -> None:
        own = ("--requirepass", password, "--masterauth", password) if password else ()
        self.password = password
        self.servers = [RedisServer(folder, *own)]
        try:
            leader = ("--replicaof", "127.0.0.1", str(self.servers[0].port))
            self.servers += [RedisServer(folder, *own, *leader) for _ in range(2)]
            eventually(lambda: self._linked_replicas() == 2)
            auth = [f"sentinel auth-pass {MASTER_NAME} {password}"] if password else []
            own_auth = [f"requirepass {sentinel_password}"] if sentinel_password else []
            self.sentinel = SentinelServer(
                folder,
                f"sentinel monitor {MASTER_NAME} 127.0.0.1 {self.servers[0].port} 1",
                f"sentinel down-after-milliseconds {MASTER_NAME} 500",
                f"sentinel failover-timeout {MASTER_NAME} 3000",
                *auth,
                *own_auth,
            )
            self._sentinel_password = sentinel_password
            eventually(lambda: b"slaves=2" in self._ask_sentinel("INFO", "sentinel"))
        except BaseException:
            self.stop()
            raise

    def master(self) -> RedisServer:
        """Whom the Sentinel calls the master."""
        told = self._ask_sentinel("SENTINEL", "get-master-addr-by-name", MASTER_NAME)
        return next(server for server in self.servers if b"\r\n%d\r\n" % server.port in told)

    def hand_over(self) -> None:
        """Have another one be the master although the one that there is lives."""
        assert b"+OK" in self._ask_sentinel("SENTINEL", "FAILOVER", MASTER_NAME)

    def stop(self) -> None:
        for server in [*self.servers, *([self.sentinel] if hasattr(self, "sentinel") else [])]:
            server.stop()

    def _ask_sentinel(self, *words: str) -> bytes:
        return self.sentinel.command(*words, password=self._sentinel_password)

    def _linked_replicas(self) -> int:
        return self.servers[0].command("INFO", "replication", password=self.password).count(b"state=online")


class Cluster:
    """Three masters that share the slots, and a replica of the first."""

    def __init__(self, folder: Path) -> None:
        own = ("--cluster-enabled", "yes", "--cluster-node-timeout", "500", "--cluster-replica-validity-factor", "0")
        self.servers: list[RedisServer] = []
        try:
            for number in range(4):
                (folder / str(number)).mkdir()  # each writes its nodes.conf
                self.servers.append(RedisServer(folder / str(number), *own))
            *masters, replica = self.servers
            for number, server in enumerate(masters):
                first, behind = number * 16384 // 3, (number + 1) * 16384 // 3
                server.command("CLUSTER", "ADDSLOTS", *map(str, range(first, behind)))
                server.command("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            for server in self.servers[1:]:
                server.command("CLUSTER", "MEET", "127.0.0.1", str(masters[0].port))
            eventually(lambda: all(self._sees_everybody(server) for server in self.servers))
            identity = masters[0].command("CLUSTER", "MYID").split(b"\r\n")[1].decode()
            eventually(lambda: b"+OK" in replica.command("CLUSTER", "REPLICATE", identity))
            eventually(lambda: b"state=online" in masters[0].command("INFO", "replication"))
            eventually(lambda: all(b"cluster_state:ok" in one.command("CLUSTER", "INFO") for one in self.servers))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        for server in self.servers:
            server.stop()

    def _sees_everybody(self, server: RedisServer) -> bool:
        return b"cluster_known_nodes:4" in server.command("CLUSTER", "INFO")
