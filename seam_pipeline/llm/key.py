"""Where an endpoint's key comes from: the environment or a file; no message shows it."""

import os
import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import SeamError
from ..experiment import LLMEndpoint

_DEFAULT_URL = "https://api.openai.com/v1"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Key:
    """A key and, in words, where it was found."""

    value: str = field(repr=False)
    source: str

    def hide(self, text: str) -> str:
        """The text without the key, should a server have sent it back."""
        return text.replace(self.value, "***") if len(self.value) >= 8 else text


def address(endpoint: LLMEndpoint) -> str:
    """The endpoint's base_url, else OPENAI_BASE_URL, else OpenAI's.

    Raises SeamError for what is no web address, or holds a password.
    """
    url = (endpoint.base_url or os.environ.get("OPENAI_BASE_URL") or _DEFAULT_URL).rstrip("/")
    if "@" in urlsplit(url).netloc:
        raise SeamError(
            "The server's address holds a user name or a password; name the key's variable or file instead."
        )
    if urlsplit(url).scheme not in ("http", "https"):
        raise SeamError(f"The server's address {url} must begin with http:// or https://; correct base_url.")
    return url


def find_key(endpoint: LLMEndpoint) -> Key:
    """The variable `api_key_env`, else the file it names with `_FILE` appended, else `api_key_file`.

    A server on this machine needs none. Raises SeamError when there is no key or it cannot be one.
    """
    name, url = endpoint.api_key_env, address(endpoint)
    if not _NAME.fullmatch(name):  # perhaps the key itself: not to be shown
        raise SeamError("The key's environment variable has no possible name; give the variable's name, not the key.")
    if value := os.environ.get(name, "").strip():
        return _checked(value, f"the environment variable {name}")
    for path, setting in ((os.environ.get(f"{name}_FILE"), f"${name}_FILE"), (endpoint.api_key_file, "api_key_file")):
        if path:
            return _checked(_read(path, setting), f"the file {path}")
    if is_loopback(url):
        return Key("unused", f"the environment variable {name}, which is not set")
    raise SeamError(
        f"The key for {url} is missing: export {name}, or name the file that holds it in {name}_FILE "
        "or the endpoint's api_key_file."
    )


def is_loopback(url: str) -> bool:
    """Is this address on the machine itself?"""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _read(path: str, setting: str) -> str:
    try:
        return Path(path).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SeamError(f"The key file {path} ({setting}) could not be read ({type(error).__name__}).") from None


def _checked(value: str, source: str) -> Key:
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise SeamError(f"What {source} holds is no key: it must be one word of plain characters.")
    return Key(value, source)
