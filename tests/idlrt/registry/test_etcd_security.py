"""Security of etcd: authentication, TLS and mutual TLS."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from etcd_server import Cluster, Etcd, etcd_cluster, quoted
from eventually import TIMEOUT, eventually
from registry_heard import Heard, why_not

from idlrt.core import Instance
from idlrt.errors import RegistryRefused, RegistryUnavailable
from idlrt.registry import Registry
from idlrt.testing.registry import REGISTRY_CHECKS

# Real servers and processes.
pytestmark = pytest.mark.long

PASSWORD = "a b/@:%"
QUOTED = "a%20b%2F%40%3A%25"


def connect(etcd: Etcd, login: str = "", options: str = "") -> Registry:
    url = f"etcd://{login}127.0.0.1:{etcd.port}?ttl=60{options}"
    return Registry.connect(url, cache=False, empty_protection=False, timeout=TIMEOUT)


def instance(port: int = 1001) -> Instance:
    return Instance(service="demo", host="127.0.0.1", port=port)


def log_in(etcd: Etcd) -> None:
    etcd.token = ""
    etcd.token = etcd.ask("auth/authenticate", name="root", password="root")["token"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start an etcd with authentication."""
    with etcd_cluster(tmp_path_factory.mktemp("etcd")) as made:
        etcd = made.members[0]
        for name, password in (("root", "root"), ("server", PASSWORD), ("nobody", "x")):
            etcd.ask("auth/user/add", name=name, password=password)
        for role in ("root", "registry"):
            etcd.ask("auth/role/add", name=role)
        permission = {"permType": "READWRITE", "key": quoted("/idlrt/"), "range_end": quoted("/idlrt0")}
        etcd.ask("auth/role/grant", name="registry", perm=permission)
        etcd.ask("auth/user/grant", user="root", role="root")
        etcd.ask("auth/user/grant", user="server", role="registry")
        etcd.ask("auth/enable")
        yield made


@pytest.fixture
def etcd(cluster: Cluster) -> Etcd:
    log_in(cluster.members[0])
    return cluster.members[0]


@pytest.mark.parametrize(
    "name",
    [
        "registered_instances_are_found",
        "subscribers_receive_changes",
        "groups_are_separate",
        "a_removed_registration_comes_back",
    ],
)
def test_with_user_and_password(etcd: Etcd, name: str) -> None:
    REGISTRY_CHECKS[name](lambda: connect(etcd, f"server:{QUOTED}@"))


def test_expired_tokens_are_renewed(etcd: Etcd) -> None:
    with connect(etcd, f"server:{QUOTED}@") as registry:
        registration = registry.register(instance())
        heard = Heard(registry.subscribe("demo"))
        heard.until_ports(1001)
        # etcd revokes the tokens of a user whose password is set, which has the effect of their expiry.
        etcd.ask("auth/user/changepw", name="server", password=PASSWORD)
        registration.update(port=1002)
        heard.until_ports(1002)
        registration.wait()
        assert registration.error is None


@pytest.mark.parametrize(
    ("login", "why"),
    [
        ("", "authentication is enabled: write etcd://USER:PASSWORD@HOST"),
        ("server:wrong@", "cannot begin a session at http://127.0.0.1:"),
        ("stranger:x@", "authentication failed, invalid user ID or password"),
        ("nobody:x@", "permission denied; grant the user a role"),
    ],
)
def test_a_failed_login_is_explained(etcd: Etcd, login: str, why: str) -> None:
    with connect(etcd, login) as registry:
        with pytest.raises(RegistryRefused) as caught:
            registry.instances("demo")
        assert why in str(caught.value)
        assert "wrong" not in str(caught.value)
        subscription = registry.subscribe("demo")
        eventually(lambda: subscription.last_error)
        with pytest.raises(RegistryRefused):
            subscription.wait(0)
        registration = registry.register(instance())
        with pytest.raises((RegistryRefused, RegistryUnavailable)):
            registration.wait(0.05)
        registry.close(0)


def test_keys_outside_the_prefix_are_refused(etcd: Etcd) -> None:
    with (
        Registry.connect(
            f"etcd://server:{QUOTED}@127.0.0.1:{etcd.port}/other", cache=False, timeout=TIMEOUT
        ) as registry,
        pytest.raises(RegistryRefused, match="permission denied"),
    ):
        registry.instances("demo")


def test_a_user_is_ignored_without_authentication(tmp_path: Path) -> None:
    with etcd_cluster(tmp_path) as made, connect(made.members[0], "server:x@") as registry:
        registry.register(instance()).wait()
        assert len(registry.instances("demo").instances) == 1


# TLS.


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ca.pem` has signed `server.pem` and `client.pem`; `other.pem` is another CA."""
    folder = tmp_path_factory.mktemp("papers")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other.pem")
    for name, issued in (("server", authority.issue_cert("127.0.0.1")), ("client", authority.issue_cert("client"))):
        issued.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
    return folder


def context_of(papers: Path) -> ssl.SSLContext:
    """URL of a client with a certificate."""
    context = ssl.create_default_context(cafile=papers / "ca.pem")
    context.load_cert_chain(papers / "client.pem", papers / "client.key")
    return context


def options_of(papers: Path) -> list[str]:
    return ["--cert-file", str(papers / "server.pem"), "--key-file", str(papers / "server.key")]


def test_tls(tmp_path: Path, papers: Path) -> None:
    with etcd_cluster(tmp_path, options=options_of(papers), context=context_of(papers)) as made:
        etcd = made.members[0]
        for name in ("registered_instances_are_found", "subscribers_receive_changes"):
            REGISTRY_CHECKS[name](lambda: connect(etcd, options=f"&ca={papers}/ca.pem"))
        for options, why in [
            (f"&tls=true&ca={papers}/other.pem", "certificate verification failed"),
            ("&tls=true", "certificate verification failed"),
            ("", "cannot begin a session at http://127.0.0.1:"),
        ]:
            with connect(etcd, options=options) as registry:
                error = why_not(registry)
                assert isinstance(error, RegistryUnavailable)
                assert why in str(error)


def test_renewed_certificates_are_used(tmp_path: Path, papers: Path) -> None:
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes((papers / "other.pem").read_bytes())
    with (
        etcd_cluster(tmp_path, options=options_of(papers), context=context_of(papers)) as made,
        connect(made.members[0], options=f"&ca={trusted}") as registry,
    ):
        registration = registry.register(instance())
        eventually(lambda: registry.last_error)
        with pytest.raises(RegistryUnavailable, match="no acknowledgement within"):
            registration.wait(0)
        trusted.write_bytes((papers / "ca.pem").read_bytes())
        registration.wait()


def test_mutual_tls(tmp_path: Path, papers: Path) -> None:
    both = [*options_of(papers), "--client-cert-auth", "--trusted-ca-file", str(papers / "ca.pem")]
    with etcd_cluster(tmp_path, options=both, context=context_of(papers)) as made:
        etcd = made.members[0]
        mine = f"&ca={papers}/ca.pem&cert={papers}/client.pem&key={papers}/client.key"
        for name in ("registered_instances_are_found", "subscribers_receive_changes"):
            REGISTRY_CHECKS[name](lambda: connect(etcd, options=mine))
        with connect(etcd, options=f"&ca={papers}/ca.pem") as registry:
            error = why_not(registry)
            assert isinstance(error, RegistryUnavailable)
            assert re.search(r"cannot (begin a session at|connect to) https://127.0.0.1", str(error))
