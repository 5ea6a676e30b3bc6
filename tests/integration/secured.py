"""An OpenSearch 2.19.1 with the security plugin on, and a Redis with a password, of a test's own."""

from __future__ import annotations

import http.client
import json
import secrets
import shutil
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

from ce2de_os.config import OpenSearchSettings, Settings
from ce2de_os.index.client import connect
from ce2de_os.local import distribution, java, opensearch_server, process, redis_server, state
from ce2de_os.local.process import Account, Process
from tests.integration.certificates import Authority

VERSION, HEAP = "2.19.1", "768m"
PLUGIN = "opensearch-security"
# Half the time to start, because Java does not optimise what a short test runs a few times.
_QUICK_START = "-XX:TieredStopAtLevel=1"

# A client certificate names its user by its common name; whoever has none is asked for a password.
_AUTHENTICATION = """\
_meta: {type: config, config_version: 2}
config:
  dynamic:
    http: {anonymous_auth_enabled: false}
    authc:
      certificate:
        http_enabled: true
        order: 0
        http_authenticator: {type: clientcert, challenge: false, config: {username_attribute: cn}}
        authentication_backend: {type: noop}
      password:
        http_enabled: true
        order: 1
        http_authenticator: {type: basic, challenge: true}
        authentication_backend: {type: intern}
"""


class SecuredServers:
    """Starts both servers in ``home``; ``roles`` is the text of roles.yml below its ``_meta``."""

    def __init__(self, home: Path, roles: str, mapping: dict[str, list[str]]) -> None:
        self.home = home
        self.settings = Settings.from_env().local
        self.account = process.service_account()
        self.redis_password = secrets.token_urlsafe(24)
        process.make_folder(home / "tls")
        self.authority = Authority(home / "tls", "ca")
        self.admin = self.authority.sign("admin")
        self.node = self.authority.sign("node")
        http, transport, self.redis_port = state.usable_ports([0, 0, 0])
        self.state = state.State(VERSION, HEAP, (state.Node(http, transport),))
        self._start_redis()
        self._start_opensearch(roles, mapping)

    @property
    def url(self) -> str:
        """OpenSearch's address."""
        return f"https://127.0.0.1:{self.state.nodes[0].http_port}"

    @property
    def broker_url(self) -> str:
        """Redis's address with its password."""
        return f"redis://:{self.redis_password}@127.0.0.1:{self.redis_port}/0"

    def as_admin(self) -> OpenSearchSettings:
        """The connection of the cluster's owner, who may do everything."""
        return OpenSearchSettings(
            url=self.url,
            ca_certs=str(self.authority.certificate),
            client_cert=str(self.admin.certificate),
            client_key=str(self.admin.key),
        )

    def add_user(self, name: str) -> str:
        """Make a user and return the password."""
        password = secrets.token_urlsafe(24)
        with connect(self.as_admin()) as client:
            client.transport.perform_request(
                "PUT", f"/_plugins/_security/api/internalusers/{name}", body={"password": password}
            )
        return password

    def _start_redis(self) -> None:
        home = self.home / "redis"
        for name in ("data", "run"):
            self._make_folder(home / name)
        network = f"bind 127.0.0.1\nport {self.redis_port}\nrequirepass {self.redis_password}\n"
        (home / "redis.conf").write_text(redis_server.settings(home) + network)
        program = redis_server.program(home, self.account)
        started = self._start("redis", [program, home / "redis.conf"])
        self.state = replace(self.state, redis=started)
        self.state.save(self.home / "state.json")

    def _start_opensearch(self, roles: str, mapping: dict[str, list[str]]) -> None:
        runtime, lock = java.choose(java.find(self.settings.java_home), VERSION)
        assert lock.security is not None, lock.version
        with_security = replace(lock, files=(*lock.files, lock.security))
        folder = distribution.provide(with_security, self.settings.cache, lambda *_: None)
        home = self.home / "opensearch"
        for name in ("config", "data", "logs", "tmp"):
            self._make_folder(home / name)
        self._configure(home, folder / "plugins" / PLUGIN / "config", roles, mapping)
        program, *options = opensearch_server.command(runtime, lock, folder, home, HEAP)
        command = [program, _QUICK_START, *options]
        started = replace(self.state.nodes[0], process=self._start("opensearch", command))
        self.state = self.state.with_node(1, started)
        self.state.save(self.home / "state.json")
        log = self.home / "opensearch.log"
        process.wait_until("OpenSearch", started.process, self._is_ready, log)

    def _configure(self, home: Path, defaults: Path, roles: str, mapping: dict[str, list[str]]) -> None:
        config = home / "config"
        security = config / PLUGIN
        shutil.copytree(defaults, security)
        mapped = "".join(f"{role}: {{users: {json.dumps(users)}}}\n" for role, users in mapping.items())
        (security / "config.yml").write_text(_AUTHENTICATION)
        (security / "roles.yml").write_text(f"_meta: {{type: roles, config_version: 2}}\n{roles}")
        (security / "roles_mapping.yml").write_text(
            f"_meta: {{type: rolesmapping, config_version: 2}}\n{mapped}"
        )
        (security / "internal_users.yml").write_text("_meta: {type: internalusers, config_version: 2}\n")
        for file in (self.node.certificate, self.node.key, self.authority.certificate):
            shutil.copy(file, config)
        ports = self.state.nodes[0].http_port, self.state.nodes[0].transport_port
        (config / "opensearch.yml").write_text(
            opensearch_server.settings(home, *ports, self._security_settings())
        )
        (config / "log4j2.properties").write_text(opensearch_server.LOG_SETTINGS)
        for path in config.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)

    def _security_settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        for layer in ("transport", "http"):
            settings[f"plugins.security.ssl.{layer}.pemcert_filepath"] = "node.pem"
            settings[f"plugins.security.ssl.{layer}.pemkey_filepath"] = "node.key"
            settings[f"plugins.security.ssl.{layer}.pemtrustedcas_filepath"] = "ca.pem"
        return settings | {
            "plugins.security.ssl.http.enabled": True,
            "plugins.security.ssl.http.clientauth_mode": "OPTIONAL",
            "plugins.security.allow_default_init_securityindex": True,
            "plugins.security.nodes_dn": ["CN=node"],
            "plugins.security.authcz.admin_dn": ["CN=admin"],
            "plugins.security.restapi.roles_enabled": [],
        }

    def _start(self, name: str, command: list[str | Path]) -> Process:
        return process.start(command, self.home / f"{name}.log", self.home / name, self.account)

    def _is_ready(self) -> bool:
        """Whether users and roles are loaded; the plugin tells everybody who asks."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.state.nodes[0].http_port, timeout=5, context=context
        )
        try:
            connection.request("GET", "/_plugins/_security/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _make_folder(self, folder: Path) -> None:
        process.make_folder(folder)
        if isinstance(self.account, Account):
            shutil.chown(folder, self.account.uid, self.account.gid)
