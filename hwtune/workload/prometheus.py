"""One number out of Prometheus: an instant query (Prometheus, HTTP API, `GET /api/v1/query`).

Asked of this machine, or of a host that the configuration allows: a query string is sent there, and what comes back
decides how the machine is set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Annotated, Literal
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hwtune.domain.errors import UsageError, WorkloadError
from hwtune.host.http import HttpError, get

_TIMEOUT_S = 5.0
_HINT = "an expression that gives one number: sum(rate(http_requests_total[10s])); see docs/metrics.md"

_Point = tuple[float, str]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Element(_Answer):
    value: _Point


class _Vector(_Answer):
    kind: Annotated[Literal["vector"], Field(alias="resultType")]
    result: tuple[_Element, ...]


class _Scalar(_Answer):
    kind: Annotated[Literal["scalar"], Field(alias="resultType")]
    result: _Point


class _Reply(_Answer):
    status: Literal["success"]
    data: Annotated[_Vector | _Scalar, Field(discriminator="kind")]


def parse_answer(body: bytes) -> float:
    """The number of an instant query's answer.

        {"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1732233600.1,"42.5"]}]}}
        {"status":"success","data":{"resultType":"scalar","result":[1732233600.1,"42.5"]}}

    Raises:
        WorkloadError: another form, no element, several, or one that is no finite number (`NaN` of 0 / 0).
    """
    try:
        data = _Reply.model_validate_json(body).data
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "answer"
        raise WorkloadError(f"Prometheus answered something else: {where}: {problem['msg']}", hint=_HINT) from error
    if isinstance(data, _Vector) and len(data.result) != 1:
        what = "nothing" if not data.result else f"{len(data.result)} series"
        raise WorkloadError(f"the query gives {what} instead of one number", hint=_HINT)
    text = (data.result[0].value if isinstance(data, _Vector) else data.result)[1]
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise WorkloadError(f"the query gives {text[:40]!r}, which is no finite number", hint=_HINT)
    return number


def prometheus_query(
    url: str, query: str, hosts: Collection[str], timeout_s: float = _TIMEOUT_S
) -> Callable[[], float]:
    """What asks a server for the present value of an expression.

    Args:
        url: where the server is, `http://127.0.0.1:9090`, with the prefix it is served under, if any.
        query: the expression.
        hosts: who may be asked.
        timeout_s: for the whole of one answer.

    Returns:
        A function that gives the value, or raises `WorkloadError`.

    Raises:
        UsageError: not such an URL, or a host that is not allowed.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment or parts.username:
        raise UsageError(f"{url!r} is not where a Prometheus is", hint="write http://127.0.0.1:9090")
    if host not in hosts:
        raise UsageError(
            f"{host} may not be asked",
            hint=f"metric.prometheus_hosts in the configuration has {', '.join(hosts)}",
        )
    if not query.strip():
        raise UsageError("an empty query", hint=_HINT)
    scheme, served_at = parts.scheme, port or (443 if parts.scheme == "https" else 80)
    target = quote(parts.path.rstrip("/"), safe="/%") + "/api/v1/query?query=" + quote(query, safe="")

    def ask() -> float:
        try:
            return parse_answer(get(scheme=scheme, host=host, port=served_at, target=target, timeout_s=timeout_s))
        except HttpError as error:
            raise WorkloadError(f"{url}: {error}", hint="is Prometheus there, and the expression right?") from error

    return ask
