"""Objects of Kubernetes, checked against the models that its Python client has of the API."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubernetes import client

_VERSIONS = {
    "batch/v1": ["Job"],
    "apps/v1": ["Deployment"],
    "rbac.authorization.k8s.io/v1": ["Role", "RoleBinding"],
    "v1": ["Namespace", "ConfigMap", "Secret", "Service", "ServiceAccount"],
}
_SIMPLE = {"str": str, "datetime": str, "int": int, "float": (int, float), "bool": bool}
_QUIET = client.Configuration()


def problems(found: Mapping[str, Any]) -> list[str]:
    """What the API would refuse of an object: unknown fields, wrong types, what is missing."""
    kind, version = (str(found.get(name)) for name in ("kind", "apiVersion"))
    if kind not in _VERSIONS.get(version, []):
        return [f"no kind {kind} in {version}"]
    return list(_problems(found, f"V1{kind}", kind))


def _problems(value: Any, type_name: str, place: str) -> Iterator[str]:
    inner = re.fullmatch(r"(list|dict)[\[(](?:str, )?(.+)[\])]", type_name)
    if type_name == "object" or value is None:
        return
    if type_name in _SIMPLE:
        wanted = _SIMPLE[type_name]
        if not isinstance(value, wanted) or (wanted is not bool and isinstance(value, bool)):
            yield f"{place}: {value!r} is no {type_name}"
    elif inner is None:
        yield from _problems_of_model(value, getattr(client, type_name), place)
    elif not isinstance(value, {"list": list, "dict": dict}[inner[1]]):
        yield f"{place}: {value!r} is no {inner[1]}"
    else:
        items = value.items() if inner[1] == "dict" else enumerate(value)
        for name, item in items:
            yield from _problems(item, inner[2], f"{place}.{name}")


def _problems_of_model(value: Any, model: Any, place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place}: {value!r} is no {model.__name__}"
        return
    attributes = {name: attribute for attribute, name in model.attribute_map.items()}
    known = {attributes[name]: item for name, item in value.items() if name in attributes}
    yield from (f"{place}.{name}: unknown field" for name in value if name not in attributes)
    try:
        model(**known, local_vars_configuration=_QUIET)
    except ValueError as error:
        yield f"{place}: {error}"
    for attribute, item in known.items():
        name = f"{place}.{model.attribute_map[attribute]}"
        yield from _problems(item, model.openapi_types[attribute], name)
