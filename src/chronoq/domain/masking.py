"""Secrets left out of what people see."""

import re

HIDDEN = "***"

_SECRET = re.compile(r"pass|pwd|secret|token|auth|credential|^key$", re.IGNORECASE)
_PARAMETER = re.compile(r"([?&])([^&=]*)(=?)([^&]*)")
_HOST = r"(?:\[[^\]]*\]|[^\[\]:,/]*)(?::\d*)?"
_HOSTS = re.compile(rf"{_HOST}(?:,{_HOST})*(?:/.*)?", re.DOTALL)


def masked(url: str) -> str:
    """The URL without its secrets: the password of the login, and whatever the query calls a secret.

    Where a URL is not well-formed it hides too much rather than too little, for a password that should
    have been percent-encoded may hold any character.
    """
    scheme, colon, rest = url.partition("://")
    if not colon:
        return url
    rest, fragment, after = rest.partition("#")
    place, query, parameters = rest.partition("?")
    login, at, hosts = place.rpartition("@")
    user, secret, _ = login.partition(":")
    shown = _PARAMETER.sub(_shown, query + parameters)
    if not _HOSTS.fullmatch(hosts) or "@" in parameters + after:  # a password goes on here
        name, port, _ = hosts.partition(":")
        hosts, shown = HIDDEN if at else name + (port and port + HIDDEN), query and query + HIDDEN
    return f"{scheme}://{user}{secret and ':' + HIDDEN}{at}{hosts}{shown}{fragment and fragment + HIDDEN}"


def _shown(found: re.Match[str]) -> str:
    mark, name, equals, value = found.groups()
    if not equals:
        return f"{mark}{name and HIDDEN}"
    from urllib.parse import unquote_plus  # only for a URL with parameters

    plain = unquote_plus(name)
    hide = value and _SECRET.search(plain) and not plain.endswith("file")
    return f"{mark}{name}={HIDDEN}" if hide else found[0]
