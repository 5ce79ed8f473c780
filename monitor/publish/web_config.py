"""TLS, client certificates and basic auth, from a file of the Prometheus exporter-toolkit's form.

The form: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md. A key of
that form that cannot be honoured here is refused by name, never silently ignored.
"""

import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from monitor import yaml_file

ClientAuthentication = Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"]
TlsVersion = Literal["TLS12", "TLS13"]

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_VERIFY = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
# names of RFC 5289 and RFC 7905 (as Go writes them) -> OpenSSL's names of the same suites
_CIPHER_SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
_TLS13_SUITES = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
# modular crypt format: cost, 22 characters of salt, 31 of hash
_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")


def _hash(text: str) -> str:
    if not _BCRYPT.fullmatch(text):
        # the text itself is a secret and is not repeated
        raise ValueError("not a bcrypt hash; make one with: htpasswd -nBC 10 ''")
    return text


def _suite(name: str) -> str:
    if name not in _CIPHER_SUITES and name not in _TLS13_SUITES:
        near = yaml_file.nearest(name, [*_CIPHER_SUITES, *_TLS13_SUITES])
        raise ValueError(f"{name!r} is not a cipher suite that is offered{near}")
    return name


class TlsServerConfig(BaseModel):
    """``tls_server_config``; paths are relative to the file that names them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cert_file: Path
    key_file: Path
    client_auth_type: ClientAuthentication = "NoClientCert"
    client_ca_file: Path | None = None
    min_version: TlsVersion = "TLS12"
    max_version: TlsVersion = "TLS13"
    cipher_suites: list[Annotated[str, AfterValidator(_suite)]] = []
    prefer_server_cipher_suites: bool = True

    @model_validator(mode="after")
    def _is_whole(self) -> "TlsServerConfig":
        if (self.client_auth_type == "NoClientCert") == (self.client_ca_file is not None):
            raise ValueError("client_ca_file and a client_auth_type that verifies go together")
        if _VERSIONS[self.min_version] > _VERSIONS[self.max_version]:
            raise ValueError("min_version is above max_version")
        return self


class HttpServerConfig(BaseModel):
    """``http_server_config``: HTTP/2 is not served, whatever `http2` says; every client can do without."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    http2: bool = True
    headers: dict[
        Literal[
            "Content-Security-Policy",
            "Strict-Transport-Security",
            "X-Content-Type-Options",
            "X-Frame-Options",
            "X-XSS-Protection",
        ],
        Annotated[str, Field(pattern=r"^[\x20-\x7e]*$")],
    ] = {}


class WebConfig(BaseModel):
    """The whole file; an empty one means plain HTTP for everybody who can connect."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tls_server_config: TlsServerConfig | None = None
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: dict[str, Annotated[str, AfterValidator(_hash)]] = {}


def load_web_config(path: Path | None) -> tuple[WebConfig, ssl.SSLContext | None]:
    """Read the file and the certificates that it names; None gives the empty configuration.

    Raises InputError with ``file:line``; no line repeats a secret.
    """
    if path is None:
        return WebConfig(), None
    document = yaml_file.read(path)
    config = yaml_file.validate(document, WebConfig)
    if config.tls_server_config is None:
        return config, None
    return config, _context(config.tls_server_config, document)


def files_of(path: Path, config: WebConfig) -> list[Path]:
    """Give the file and what it names: when one of them changes, it is to be read again."""
    tls = config.tls_server_config
    named = [] if tls is None else [tls.cert_file, tls.key_file, tls.client_ca_file]
    return [path, *(path.parent / one for one in named if one is not None)]


def _context(tls: TlsServerConfig, document: yaml_file.Document) -> ssl.SSLContext:
    folder = document.path.parent
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.min_version]
    context.maximum_version = _VERSIONS[tls.max_version]
    context.set_alpn_protocols(["http/1.1"])
    if tls.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    # TLS 1.3 suites are all sound, and ssl offers no choice among them
    suites = [_CIPHER_SUITES[name] for name in tls.cipher_suites if name in _CIPHER_SUITES]
    context.set_ciphers(":".join(suites or _CIPHER_SUITES.values()))
    key = "cert_file"
    try:
        for key in ("key_file", "cert_file"):
            (folder / getattr(tls, key)).read_bytes()
        context.load_cert_chain(
            folder / tls.cert_file, folder / tls.key_file, password=_no_password(document)
        )
        if tls.client_ca_file is not None:
            key = "client_ca_file"
            context.verify_mode = _VERIFY[tls.client_auth_type]
            context.load_verify_locations(folder / tls.client_ca_file)
    except ssl.SSLError as error:
        whose = "client_ca_file" if key == "client_ca_file" else "cert_file with key_file"
        reason = error.reason or "no certificate or key in PEM form"
        raise document.error(("tls_server_config", key), f"{whose}: {reason}") from error
    except OSError as error:
        raise document.error(("tls_server_config", key), f"{key}: {error.strerror or error}") from error
    return context


def _no_password(document: yaml_file.Document) -> Callable[[], str]:
    """Refuse a key with a passphrase: OpenSSL would ask for it on the terminal."""

    def refuse() -> str:
        place = ("tls_server_config", "key_file")
        raise document.error(place, "key_file: has a passphrase; a daemon needs a key without one")

    return refuse
