"""Who calls, and whether they may.

The name in the client's certificate is the identity; what no rule allows is denied.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import yaml
from grpc import StatusCode

from kit.errors import LaurelError

OPEN_SERVICES = frozenset({"grpc.health.v1.Health"})


class PolicyInvalid(Exception):
    """The policy file has a mistake."""


class Unidentified(LaurelError):
    """The caller showed no certificate."""

    code = StatusCode.UNAUTHENTICATED
    reason = "UNIDENTIFIED"
    text = "the call carries no client certificate; connect with one that Laurel's CA has signed"


class NotAllowed(LaurelError):
    """The caller may not call this method."""

    code = StatusCode.PERMISSION_DENIED
    reason = "NOT_ALLOWED"
    text = "identity {identity} may not call {method}; deploy/policy.yaml lists who may"


@dataclass(frozen=True, slots=True)
class Policy:
    """The identities that may call each method, written `package.Service/Method`."""

    allowed: Mapping[str, frozenset[str]]

    def check(self, identity: str | None, method: str) -> None:
        """Raises Unidentified or NotAllowed; methods of the health service are open to every
        identity.
        """
        if identity is None:
            raise Unidentified
        if identity in self.allowed.get(method, frozenset()):
            return
        if method.rpartition("/")[0] not in OPEN_SERVICES:
            raise NotAllowed(identity=identity, method=method)


def load_policy(path: Path) -> Policy:
    """Reads `methods: {package.Service/Method: [group or identity, ...]}` with `groups: {name:
    [identity, ...]}`.
    """
    try:
        document = yaml.safe_load(path.read_text())
        groups = {name: _names(name, members) for name, members in document["groups"].items()}
        methods = {
            method: frozenset().union(
                *(groups.get(name, frozenset({name})) for name in _names(method, names))
            )
            for method, names in document["methods"].items()
        }
    except (OSError, KeyError, TypeError, AttributeError, ValueError, yaml.YAMLError) as error:
        raise PolicyInvalid(f"{path}: expected `groups` and `methods`: {error!r}") from error
    return Policy(methods)


def _names(where: str, given: object) -> frozenset[str]:
    # A text instead of a list would be taken for a list of its letters, and nobody let in.
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise TypeError(f"{where}: expected a list of names, got {given!r}")
    return frozenset(given)


def identity_of(context: grpc.aio.ServicerContext[Any, Any]) -> str | None:
    """The common name of the caller's certificate, or None without one."""
    names = context.auth_context().get("x509_common_name")
    return next(iter(names)).decode() if names else None


@dataclass(frozen=True, slots=True)
class Certificates:
    """The PEM texts of one identity and of the CA that vouches for all of them."""

    ca: bytes
    certificate: bytes
    key: bytes

    @classmethod
    def load(cls, folder: Path, identity: str) -> "Certificates":
        """Reads ca.crt, <identity>.crt and <identity>.key."""
        return cls.read(folder / "ca.crt", folder / f"{identity}.crt", folder / f"{identity}.key")

    @classmethod
    def read(cls, ca: Path, certificate: Path, key: Path) -> "Certificates":
        """Reads the three files."""
        return cls(ca.read_bytes(), certificate.read_bytes(), key.read_bytes())

    def for_server(self) -> grpc.ServerCredentials:
        """Credentials of a server that demands a certificate of every caller."""
        pair = (self.key, self.certificate)
        return grpc.ssl_server_credentials([pair], self.ca, require_client_auth=True)

    def for_client(self) -> grpc.ChannelCredentials:
        """Credentials of a client that shows its certificate."""
        return grpc.ssl_channel_credentials(self.ca, self.key, self.certificate)
